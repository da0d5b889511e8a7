package node

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/actor"
)

// tidyEvery is how often old runs are removed that schedules and triggers have
// started: the node learns of the end of its own runs only.
const tidyEvery = time.Minute

// spawnTidier starts the service that removes old runs.
func (r *Runs) spawnTidier(parent actor.Parent) error {
	_, err := actor.SpawnService(parent, actor.ServiceSpec{
		Name: "runs-tidy", Type: "run-tidier", Restart: actor.Permanent,
		New: func() actor.Service {
			return actor.ServiceFunc(func(ctx context.Context) error {
				clock := time.NewTicker(tidyEvery)
				defer clock.Stop()
				for {
					select {
					case <-clock.C:
						r.tidy(ctx)
					case <-ctx.Done():
						return nil
					}
				}
			})
		},
	})
	return err
}

// tidy removes the old runs of all workflows.
func (r *Runs) tidy(ctx context.Context) {
	r.mu.Lock()
	engine := r.engine
	r.mu.Unlock()
	all, err := engine.Workflows(ctx)
	if err != nil {
		r.log.WarnContext(ctx, "old runs cannot be removed at present", "error", err)
		return
	}
	for _, v := range all {
		r.prune(v.Workflow)
	}
}
