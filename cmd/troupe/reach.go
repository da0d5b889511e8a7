package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/node"
)

// reachFlags say which store a command is about: that of a node, or one that no
// node has open.
type reachFlags struct {
	config configFlags
	node   string
}

// reachTopic explains how a command finds its store.
const reachTopic = `The store is that of the configuration. If a node runs with it, the command goes
through the node's API, which it finds by the data directory; otherwise it opens
the store itself. --node names a node anywhere, --set http.token=env:NAME is what
it asks for.`

func (r *reachFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.node, "node", "", "go through the node at this `URL`, such as http://127.0.0.1:8080")
	r.config.register(cmd, "data_dir", "store.url")
}

// reached is the way to a store.
type reached struct {
	settings *node.Settings
	client   *console.Client // nil if no node runs
	url      string          // of the node
}

// reach finds the way to the store.
func (r *reachFlags) reach(a *app) (reached, error) {
	settings, err := r.config.load(a)
	if err != nil {
		return reached{}, err
	}
	found := reached{settings: settings, url: r.node}
	if found.url == "" {
		url, running, err := node.RunningNode(settings.Config.DataDir)
		if err != nil {
			return reached{}, &exitError{exitEnvironment, err}
		}
		if !running {
			return found, nil
		}
		found.url = url
	}
	token, err := settings.Config.HTTP.Token.Resolve(a.env)
	if err != nil {
		return reached{}, node.Problems{{Key: "http.token", Message: err.Error()}}
	}
	found.client = console.NewClient(found.url, token)
	return found, nil
}

// closeTimeout bounds the closing of a store that a command has opened.
const closeTimeout = 30 * time.Second

// mail is what a command about dead letters works on.
type mail struct {
	console.Mail
	where string // for people
	local bool   // the store is open in this process
	close func() error
}

// openMail gives a command its way to the dead letters.
func (r *reachFlags) openMail(ctx context.Context, a *app) (*mail, error) {
	found, err := r.reach(a)
	if err != nil {
		return nil, err
	}
	if found.client != nil {
		return &mail{Mail: found.client, where: "node " + found.url, close: func() error { return nil }}, nil
	}
	config := found.settings.Config
	m, closeMail, err := node.OpenMail(ctx, config, a.env, nil)
	if err != nil {
		return nil, err
	}
	where := node.StorePath(config)
	if where == "" {
		where = "store " + config.Store.URL.String()
	}
	return &mail{Mail: m, where: where, local: true, close: func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return closeMail(ctx)
	}}, nil
}

// withMail opens the dead letters for one action.
func (r *reachFlags) withMail(a *app, do func(ctx context.Context, m *mail) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		ctx, restore := a.interruptible(cmd.Context())
		defer restore()
		m, err := r.openMail(ctx, a)
		if err != nil {
			return err
		}
		err = errors.Join(do(ctx, m), m.close())
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, errInterrupted) {
			return fmt.Errorf("%w: %w", cause, err)
		}
		return err
	}
}
