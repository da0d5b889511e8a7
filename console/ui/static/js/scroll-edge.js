// Shades the side of a box at which more comes into view by scrolling: a table
// that is cut between two columns looks complete.

/** watchEdges keeps data-left and data-right of element up to date; its first child scrolls. */
export function watchEdges(element) {
  const box = element.firstElementChild;
  const show = () => {
    const rest = box.scrollWidth - box.clientWidth - box.scrollLeft;
    element.toggleAttribute("data-left", box.scrollLeft > 1);
    element.toggleAttribute("data-right", rest > 1);
    // The shade stands beside the scroll bar, not on it.
    element.style.setProperty("--bar", `${box.offsetWidth - box.clientWidth}px`);
  };
  const sizes = new ResizeObserver(show);
  const observe = () => {
    sizes.disconnect();
    sizes.observe(box);
    for (const child of box.children) sizes.observe(child);
  };
  new MutationObserver(observe).observe(box, { childList: true });
  box.addEventListener("scroll", show, { passive: true });
  observe();
}
