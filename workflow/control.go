package workflow

import (
	"time"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// Handles by which control leaves a node. A node that is named in "after"
// without a handle means doneHandle.
const (
	doneHandle     = "done"
	failedHandle   = "failed"
	elseHandle     = "else"
	timeoutHandle  = "timeout"
	approvedHandle = "approved"
	rejectedHandle = "rejected"
)

// controlKind is what a control node does. They are part of the engine, unlike
// tasks: what they do is decided without any effect outside.
type controlKind uint8

const (
	controlNone controlKind = iota
	controlBranch
	controlForeach
	controlLoop
	controlWait
	controlSleep
	controlApproval
	controlWorkflow
	controlValue
)

// control is a checked control node.
type control struct {
	kind     controlKind
	cases    []branchCase
	items    *stepProgram
	while    *stepProgram
	output   *stepProgram
	parallel int
	tolerate int
	most     int
	signal   string
	timeout  time.Duration
	pause    time.Duration
	until    *stepProgram
	title    *template
	titleRaw string
	workflow string
	version  int64
	inputs   map[string]*template
	literal  map[string]string
}

type branchCase struct {
	handle string
	when   *stepProgram
}

// The configurations of control nodes.
type (
	branchConfig struct {
		Cases Mapping[StepExpr] `yaml:"cases,required" doc:"Conditions by the handle they lead to; the first that is true is taken, or else the handle \"else\"."`
	}
	// ForeachConfig is the "with" block of a node of the type foreach.
	ForeachConfig struct {
		Items    StepExpr `yaml:"items,required" doc:"A list; the nodes of \"do\" run once for each of its items."`
		Parallel int      `yaml:"parallel" doc:"How many items are under way at a time."`
		Tolerate int      `yaml:"tolerate" doc:"How many items may fail without failing the node."`
	}
	// LoopConfig is the "with" block of a node of the type loop.
	LoopConfig struct {
		While StepExpr `yaml:"while,required" doc:"The nodes of \"do\" run again while it is true."`
		Max   int      `yaml:"max" doc:"How often at most; beyond it the node fails."`
	}
	waitConfig struct {
		Signal  string        `yaml:"signal,required" doc:"The name of the signal to wait for. Its payload is the output."`
		Timeout time.Duration `yaml:"timeout" doc:"How long to wait; then the node goes on by \"timeout\", or fails if nothing follows there. 0: for ever."`
	}
	valueConfig struct {
		Output StepExpr `yaml:"output,required" doc:"What the node gives out."`
	}
	sleepConfig struct {
		For   time.Duration `yaml:"for" doc:"How long."`
		Until StepExpr      `yaml:"until" doc:"Until when: a time, as RFC 3339 if it is a text."`
	}
	approvalConfig struct {
		Title   string        `yaml:"title,required" doc:"What is to be approved."`
		Timeout time.Duration `yaml:"timeout" doc:"How long to wait; then the node goes on by \"timeout\", or fails if nothing follows there. 0: for ever."`
	}
	// SubworkflowConfig is the "with" block of a node of the type workflow.
	SubworkflowConfig struct {
		Workflow string          `yaml:"workflow,required" doc:"The name of a workflow of the same engine."`
		Version  int64           `yaml:"version" doc:"Which version; 0: the active one when the node starts."`
		Inputs   Mapping[string] `yaml:"inputs" doc:"Values for its inputs."`
	}
)

// Defaults and limits of control nodes.
const (
	// ForeachParallelDefault is how many items of a foreach are under way at a
	// time where the definition says nothing.
	ForeachParallelDefault = 100
	// ForeachItemsMax bounds the items of a foreach.
	ForeachItemsMax = 1_000_000
	// LoopMaxDefault bounds the iterations of a loop where the definition says
	// nothing.
	LoopMaxDefault = 100
	// LoopMaxMax bounds what a definition may say.
	LoopMaxMax = 100_000
)

// StepExpr is the text of an expression over what a run knows, in the Common
// Expression Language: steps.fetch.output.total > 10 && inputs.full. See
// the documentation of the package for the names.
type StepExpr string

// UnmarshalNode reads an expression, which need not be quoted.
func (e *StepExpr) UnmarshalNode(_ *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsMapping() || n.IsList() || n.IsNull() {
		return yamldoc.Errors{n.Errorf("expected an expression")}
	}
	*e = StepExpr(n.Text())
	return nil
}

// YAMLType names the type in the documentation of node types.
func (e StepExpr) YAMLType() string { return "expression" }

// controlType is a control node as a node type.
type controlType[C any] struct {
	name, doc, example string
	outputs            []string
	byDefault          C
	plan               func(c *Check, config C) control
}

// Info describes the type.
func (t controlType[C]) Info() TypeInfo {
	return TypeInfo{Name: t.name, Role: RoleControl, Doc: t.doc, Outputs: t.outputs, Config: yamldoc.Describe(t.byDefault), Example: t.example}
}

func (t controlType[C]) config() any { return t.byDefault }

func (t controlType[C]) decodeOnly(c *Check) {
	config := t.byDefault
	c.decode(&config)
}

func (t controlType[C]) check(c *Check) plan {
	config := t.byDefault
	if !c.decode(&config) {
		return plan{}
	}
	p := t.plan(c, config)
	return plan{control: &p}
}

// step compiles the expression at path. A text that is empty gives nil.
func (c *Check) step(path string, source StepExpr) *stepProgram {
	if source == "" {
		return nil
	}
	program, mistake := compileStep(c.stepEnv(), string(source))
	if mistake != nil {
		n := c.value(path)
		problem := n.Errorf("%s", mistake.message)
		problem.Hint = mistake.hint
		if n.Text() == string(source) {
			problem.Pos = n.PosAt(mistake.offset)
		}
		c.problems = append(c.problems, problem)
	}
	return program
}

// template compiles the expressions in the text at path.
func (c *Check) template(path, text string) *template {
	t, mistake := parseTemplate(c.stepEnv(), text)
	if mistake != nil {
		n := c.value(path)
		problem := n.Errorf("%s", mistake.message)
		problem.Hint = mistake.hint
		c.problems = append(c.problems, problem)
	}
	return t
}

func (c *Check) between(path string, n, least, most int) {
	if n < least || n > most {
		c.Errorf(path, "expected a number from %d to %d", least, most)
	}
}

func (c *Check) positive(path string, d time.Duration) {
	if d < 0 {
		c.Errorf(path, "expected a time that is not negative")
	}
}

// controlTypes are the node types that every registry has.
func controlTypes() []Type {
	return []Type{
		controlType[branchConfig]{
			name: "branch", doc: "Goes on by the handle of the first condition that is true.", outputs: []string{elseHandle},
			example: "cases:\n  large: steps.count.output > 1000\n  small: steps.count.output > 0\n", plan: planBranch,
		},
		controlType[ForeachConfig]{
			name: "foreach", doc: `Runs the nodes of "do" once for each item of a list, several at a time. Its output is the list of what the last of them gave out, in the order of the items; null for an item that failed.`,
			outputs: []string{doneHandle, failedHandle}, byDefault: ForeachConfig{Parallel: ForeachParallelDefault},
			example: "items: steps.list.output\nparallel: 10\n", plan: planForeach,
		},
		controlType[LoopConfig]{
			name: "loop", doc: `Runs the nodes of "do" again while a condition is true. Its output is that of the last of them in the last iteration.`,
			outputs: []string{doneHandle, failedHandle}, byDefault: LoopConfig{Max: LoopMaxDefault},
			example: "while: iteration == 0 || last.more\nmax: 50\n", plan: planLoop,
		},
		controlType[waitConfig]{
			name: "wait", doc: "Waits for a signal from outside; its payload is the output.", outputs: []string{doneHandle, timeoutHandle},
			example: "signal: paid\ntimeout: 72h\n", plan: planWait,
		},
		controlType[valueConfig]{
			name: "value", doc: "Gives out the value of an expression.", outputs: []string{doneHandle},
			example: "output: \"{'total': steps.sum.output, 'day': inputs.day}\"\n", plan: planValue,
		},
		controlType[sleepConfig]{
			name: "sleep", doc: "Waits for a time, also beyond the end of the process.", outputs: []string{doneHandle},
			example: "for: 24h\n", plan: planSleep,
		},
		controlType[approvalConfig]{
			name: "approval", doc: "Waits until a human approves or rejects.", outputs: []string{approvedHandle, rejectedHandle, timeoutHandle},
			example: "title: Pay ${{ steps.sum.output }} EUR?\n", plan: planApproval,
		},
		controlType[SubworkflowConfig]{
			name: "workflow", doc: "Runs another workflow and waits for its end; its output is the output.", outputs: []string{doneHandle, failedHandle},
			example: "workflow: invoice\ninputs:\n  customer: ${{ item.id }}\n", plan: planChild,
		},
	}
}

func planBranch(c *Check, config branchConfig) control {
	out := control{kind: controlBranch}
	for _, item := range config.Cases {
		path := KeyPath("cases", item.Key)
		if !nodeID.MatchString(item.Key) || item.Key == failedHandle || item.Key == elseHandle || item.Key == doneHandle {
			c.Errorf(path, "a case cannot be called %q; expected a letter, then letters, digits, _ and -, and none of done, failed, else", item.Key)
		}
		out.cases = append(out.cases, branchCase{item.Key, c.step(path, item.Value)})
	}
	if len(config.Cases) == 0 {
		c.Errorf("cases", "there is no case; expected at least one")
	}
	return out
}

func planForeach(c *Check, config ForeachConfig) control {
	c.between("parallel", config.Parallel, 1, 10_000)
	c.between("tolerate", config.Tolerate, 0, ForeachItemsMax)
	return control{
		kind: controlForeach, items: c.step("items", config.Items), parallel: config.Parallel, tolerate: config.Tolerate,
	}
}

func planLoop(c *Check, config LoopConfig) control {
	c.between("max", config.Max, 1, LoopMaxMax)
	return control{kind: controlLoop, while: c.step("while", config.While), most: config.Max, parallel: 1}
}

func planWait(c *Check, config waitConfig) control {
	if config.Signal == "" {
		c.Errorf("signal", "the name is empty")
	}
	c.positive("timeout", config.Timeout)
	return control{kind: controlWait, signal: config.Signal, timeout: config.Timeout}
}

func planValue(c *Check, config valueConfig) control {
	return control{kind: controlValue, output: c.step("output", config.Output)}
}

func planSleep(c *Check, config sleepConfig) control {
	c.positive("for", config.For)
	if (config.For == 0) == (config.Until == "") {
		c.Errorf("", "expected one of the keys for and until")
	}
	return control{kind: controlSleep, pause: config.For, until: c.step("until", config.Until)}
}

func planApproval(c *Check, config approvalConfig) control {
	c.positive("timeout", config.Timeout)
	return control{kind: controlApproval, title: c.template("title", config.Title), titleRaw: config.Title, timeout: config.Timeout}
}

func planChild(c *Check, config SubworkflowConfig) control {
	out := control{kind: controlWorkflow, workflow: config.Workflow, version: config.Version, inputs: map[string]*template{}, literal: map[string]string{}}
	if config.Workflow == "" {
		c.Errorf("workflow", "the name is empty")
	}
	if config.Version < 0 {
		c.Errorf("version", "expected a number that is not negative")
	}
	for _, item := range config.Inputs {
		out.inputs[item.Key], out.literal[item.Key] = c.template(KeyPath("inputs", item.Key), item.Value), item.Value
	}
	return out
}
