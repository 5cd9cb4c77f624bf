package cli

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	eventsv1 "github.com/openfunction/ofn/api/events/v1alpha1"
)

// suggest asks the control plane for what begins with prefix; no answer completes nothing. What stands behind a tab is shown only.
func (a *app) suggest(cmd *cobra.Command, prefix string, ask func(context.Context, *session) []string) ([]string, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	c, err := a.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found := slices.DeleteFunc(ask(ctx, &session{Cluster: c, app: a}), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	slices.Sort(found)
	return slices.Compact(found), cobra.ShellCompDirectiveNoFileComp
}

// list reads the objects of a kind into a list; what cannot be read is left out.
func (s *session) list(ctx context.Context, r resource, into any) {
	if data, err := raw(ctx, s.REST.Get().AbsPath(r.path(s.Namespace, ""))); err == nil {
		_ = json.Unmarshal(data, into) // completes nothing
	}
}

func (s *session) namesOf(ctx context.Context, r resource) (out []string) {
	var list metav1.PartialObjectMetadataList
	s.list(ctx, r, &list)
	for i := range list.Items {
		out = append(out, list.Items[i].Name)
	}
	return out
}

// known is a kind by its plural.
func known(plural string) resource {
	all := resources()
	return all[slices.IndexFunc(all, func(r resource) bool { return r.plural == plural })]
}

func (a *app) completeNames(cmd *cobra.Command, r resource, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.suggest(cmd, prefix, func(ctx context.Context, s *session) []string { return s.namesOf(ctx, r) })
}

// completeObject completes what describe takes: a function, or a kind of events and a name.
func (a *app) completeObject(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	kind, _, slash := strings.Cut(prefix, "/")
	if slash && len(args) == 0 {
		r, found, err := resourceNamed(kind)
		if !found || err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.suggest(cmd, prefix, func(ctx context.Context, s *session) (out []string) {
			for _, name := range s.namesOf(ctx, r) {
				out = append(out, kind+"/"+name)
			}
			return out
		})
	}
	if len(args) == 1 {
		if r, found, err := resourceNamed(args[0]); found && err == nil {
			return a.completeNames(cmd, r, prefix)
		}
	}
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.suggest(cmd, prefix, func(ctx context.Context, s *session) []string {
		out := s.namesOf(ctx, known("functions"))
		for _, r := range resources() {
			if r.ofEvents() {
				out = append(out, strings.ToLower(r.kind)+"/")
			}
		}
		return out
	})
}

// completeBuses completes the buses that a namespace can use: "default" is there without being declared.
func (a *app) completeBuses(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.suggest(cmd, prefix, func(ctx context.Context, s *session) []string {
		return append(append(s.namesOf(ctx, known("eventbuses")), s.namesOf(ctx, known("clustereventbuses"))...), "default")
	})
}

func (a *app) completeTopic(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeTopics(cmd, args, prefix)
}

// completeTopics completes the topics that event sources and triggers of the namespace name.
func (a *app) completeTopics(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.suggest(cmd, prefix, func(ctx context.Context, s *session) (out []string) {
		var sources eventsv1.EventSourceList
		var triggers eventsv1.TriggerList
		s.list(ctx, known("eventsources"), &sources)
		s.list(ctx, known("triggers"), &triggers)
		for i := range sources.Items {
			for _, e := range sources.Items[i].Status.Events {
				out = append(out, e.Topic)
			}
		}
		for i := range triggers.Items {
			for _, in := range triggers.Items[i].Spec.Inputs {
				if in != nil {
					out = append(out, in.Topic)
				}
			}
			for _, sub := range triggers.Items[i].Spec.Subscribers {
				if sub != nil {
					out = append(out, sub.Topic)
				}
			}
		}
		return slices.DeleteFunc(out, func(topic string) bool { return topic == "" })
	})
}

// someLetters are the oldest dead letters.
func (s *session) someLetters(ctx context.Context, each func(*deadLetter)) {
	found, err := s.letters(ctx, &letterQuery{limit: 100})
	if err != nil {
		return
	}
	for _, one := range found {
		var l deadLetter
		if json.Unmarshal(one, &l) == nil {
			each(&l)
		}
	}
}

func (a *app) completeLetters(cmd *cobra.Command, given []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.suggest(cmd, prefix, func(ctx context.Context, s *session) (out []string) {
		s.someLetters(ctx, func(l *deadLetter) {
			if !slices.Contains(given, l.ID) {
				out = append(out, l.ID+"\t"+l.Kind+" "+l.From)
			}
		})
		return out
	})
}

// completeGivers completes the names of who gave up the dead letters.
func (a *app) completeGivers(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.suggest(cmd, prefix, func(ctx context.Context, s *session) (out []string) {
		s.someLetters(ctx, func(l *deadLetter) { out = append(out, l.From[strings.LastIndexByte(l.From, '/')+1:]) })
		return out
	})
}
