package node

// An Explanation tells one setting: its value, where that was set, and what it
// could be.
type Explanation struct {
	Key     string `json:"key"`
	Value   string `json:"value"` // secrets show their reference
	Origin  Origin `json:"origin"`
	Default string `json:"default"`
	Want    string `json:"want"` // which values are right
	Env     string `json:"env"`
	Flag    string `json:"flag"`
	Doc     string `json:"doc"`
}

// Explain returns every setting, in a fixed order.
func (s *Settings) Explain() []Explanation {
	config, defaults := s.Config, DefaultConfig()
	all := make([]Explanation, len(settings))
	for i, st := range settings {
		value := st.bind(&config)
		flag := "--set " + st.key
		if st.flag != "" {
			flag = "--" + st.flag
		}
		all[i] = Explanation{
			Key:     st.key,
			Value:   value.text(),
			Origin:  s.Origin(st.key),
			Default: st.bind(&defaults).text(),
			Want:    value.kind(),
			Env:     st.env(),
			Flag:    flag,
			Doc:     st.doc,
		}
	}
	return all
}

// A FlagSpec describes a command-line flag that sets one key.
type FlagSpec struct {
	Name    string // without dashes
	Key     string
	Default string
	Doc     string
	Bool    bool // may stand without a value
}

// FlagSpecs lists the settings that have a flag of their own. The others are
// reached by key.
func FlagSpecs() []FlagSpec {
	var specs []FlagSpec
	defaults := DefaultConfig()
	for _, st := range settings {
		if st.flag == "" {
			continue
		}
		value := st.bind(&defaults)
		_, isBool := value.(*boolValue)
		specs = append(specs, FlagSpec{Name: st.flag, Key: st.key, Default: value.text(), Doc: st.doc, Bool: isBool})
	}
	return specs
}
