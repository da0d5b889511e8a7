// Lists the texts of the page that have less contrast than WCAG AA asks for:
// 4.5:1 against what they stand on, 3:1 if large.
(() => {
	// What fades in is looked at as it will stand.
	for (const a of document.getAnimations()) if (a.effect.getComputedTiming().endTime < Infinity) a.finish();
	const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const rgba = (colour) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = colour;
		canvas.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
		return [r, g, b, a / 255];
	};
	const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (el) => {
		const layers = [];
		for (let e = el; e; e = e.parentElement) {
			if (e.matches?.("g.node")) {
				layers.push(rgba(getComputedStyle(e.querySelector(".box")).fill));
			}
			const c = rgba(getComputedStyle(e).backgroundColor);
			if (c[3] > 0) layers.push(c);
			if (layers.length && layers.at(-1)[3] === 1) break;
		}
		return layers.reverse().reduce((below, c) => [0, 1, 2].map((i) => c[i] * c[3] + below[i] * (1 - c[3])), [255, 255, 255]);
	};
	const found = new Set();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node = walker.nextNode(); node; node = walker.nextNode()) {
		const el = node.parentElement;
		if (!node.data.trim() || !el.checkVisibility() || el.closest("noscript, .visually-hidden, .skip, option, title, :disabled")) continue;
		const style = getComputedStyle(el);
		const ink = rgba(el.closest("svg") ? style.fill : style.color);
		const ground = behind(el);
		const [hi, lo] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
		const ratio = (hi + 0.05) / (lo + 0.05);
		const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
		if (ratio < (large ? 3 : 4.5)) found.add(ratio.toFixed(2) + " " + el.tagName + "." + el.getAttribute("class") + " " + JSON.stringify(node.data.slice(0, 30)));
	}
	return [...found];
})()
