package main

import (
	"context"
	"log/slog"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	driver "github.com/openfunction/ofn/internal/instance/drivers/pods"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
)

// warmSettings are those of the pool of warm pods.
type warmSettings struct{}

func (s *warmSettings) bind(*pflag.FlagSet) {}

// warmth is what copies are made of without making pods.
type warmth struct{}

func newWarmth(client.Client, *gatewaySettings, *slog.Logger) (*warmth, error) { return &warmth{}, nil }

func (w *warmth) pool() driver.Warm         { return nil }
func (w *warmth) seen(*corev1.Pod)          {}
func (w *warmth) gone(*corev1.Pod)          {}
func (w *warmth) run(context.Context) error { return nil }

// Root implements node.Images. Nodes of the cluster have the images; what runs in them is not the gateway's to know.
func (w *warmth) Root(context.Context, string, *run.Credentials) (node.Root, error) {
	return node.Root{Config: node.Config{Entrypoint: []string{"as the image says"}}}, nil
}
