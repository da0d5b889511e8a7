package workflow

import (
	"strings"
	"testing"
	"time"
)

// Req W12: what a form asks of a schedule that is being written: its next instants,
// and each mistake with its field.
func TestPreviewSchedule(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.deploy("name: w\ninputs: {day: {type: date}}\nnodes:\n  - {id: a, type: task.play}\n")
	inputs := map[string]string{"day": "${{ schedule.date }}"}
	for name, c := range map[string]struct {
		schedule Schedule
		next     int
		wrong    string
	}{
		"right":           {Schedule{Name: "s", Workflow: "w", Cron: "0 3 * * *", TimeZone: "Asia/Tokyo", Inputs: inputs}, 5, ""},
		"paused":          {Schedule{Name: "s", Workflow: "w", Every: Duration(time.Hour), Inputs: inputs, Paused: true}, 5, ""},
		"delay":           {Schedule{Name: "s", Workflow: "w", Delay: Duration(time.Hour), Inputs: inputs}, 1, ""},
		"nothing yet":     {Schedule{}, 0, "name,workflow,cron"},
		"only a time":     {Schedule{Cron: "*/5 * * * *"}, 5, "name,workflow"},
		"a wrong time":    {Schedule{Name: "s", Workflow: "w", Cron: "0 25 * * *", Inputs: inputs}, 0, "cron"},
		"a wrong zone":    {Schedule{Name: "s", Workflow: "w", Cron: "0 2 * * *", TimeZone: "Europe/Berln", Inputs: inputs}, 0, "time_zone"},
		"past":            {Schedule{Name: "s", Workflow: "w", At: time.Now().Add(-time.Hour), Inputs: inputs}, 0, "at"},
		"no workflow":     {Schedule{Name: "s", Workflow: "v", Every: Duration(time.Hour)}, 5, "workflow"},
		"no version":      {Schedule{Name: "s", Workflow: "w", Version: 7, Every: Duration(time.Hour)}, 5, "version"},
		"a missing input": {Schedule{Name: "s", Workflow: "w", Every: Duration(time.Hour)}, 5, "inputs.day"},
		"a wrong input":   {Schedule{Name: "s", Workflow: "w", Every: Duration(time.Hour), Inputs: map[string]string{"day": "${{ schedule.dat }}"}}, 5, "inputs.day"},
	} {
		p, err := s.engine.PreviewSchedule(t.Context(), c.schedule)
		var fields []string
		for _, f := range p.Errors {
			fields = append(fields, f.Field)
			if f.Message == "" {
				t.Errorf("%s: no message for %s", name, f.Field)
			}
		}
		if got := strings.Join(fields, ","); err != nil || len(p.Next) != c.next || got != c.wrong {
			t.Errorf("%s: %d instants, wrong %q, %v; want %d, %q: %+v", name, len(p.Next), got, err, c.next, c.wrong, p.Errors)
		}
	}
	if list, err := s.engine.Schedules(t.Context(), ScheduleFilter{}); err != nil || len(list) != 0 {
		t.Errorf("a preview has made %+v, %v", list, err)
	}
}
