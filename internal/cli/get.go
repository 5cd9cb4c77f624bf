package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// getQuery is what the flags of get say.
type getQuery struct {
	output, selector, fields string
	all, watch, noHeaders    bool
	limit                    int64

	resource resource
	names    []string
}

func (a *app) getCommand() *cobra.Command {
	var q getQuery
	cmd := &cobra.Command{
		Use:               "get [KIND] [NAME...]",
		Short:             "List functions, builds, revisions, gateways, event sources, event buses, triggers or components",
		Example:           "  ofn get\n  ofn get hello -w\n  ofn get builders -A -o wide\n  ofn get fn hello -o yaml",
		ValidArgsFunction: a.completeGet,
	}
	f := cmd.Flags()
	f.StringVarP(&q.output, "output", "o", "", "json, yaml, wide or name")
	f.StringVarP(&q.selector, "selector", "l", "", "only those with these labels")
	f.StringVar(&q.fields, "field-selector", "", "only those with these fields, e.g. metadata.name=hello")
	f.BoolVarP(&q.all, "all-namespaces", "A", false, "those of all namespaces")
	f.BoolVarP(&q.watch, "watch", "w", false, "go on with every change")
	f.BoolVar(&q.noHeaders, "no-headers", false, "leave the head of the table out")
	f.Int64Var(&q.limit, "limit", 0, "at most that many; 0 is all")
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) (err error) {
		if err := checkOutput(q.output, "json", "yaml", "wide", "name"); err != nil {
			return err
		}
		if q.resource, q.names, err = resourceAndNames(args); err != nil {
			return err
		}
		switch {
		case q.all && len(q.names) > 0:
			return errors.New("a name and -A exclude each other: a name belongs to one namespace")
		case q.watch && len(q.names) > 1:
			return errors.New("-w follows one name, or all")
		}
		err = noSuchKind(args, s.get(ctx, &q))
		if q.watch && ctx.Err() != nil {
			return nil
		}
		return err
	})
	return cmd
}

func (a *app) completeGet(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		if r, found, err := resourceNamed(args[0]); found && err == nil {
			return a.completeNames(cmd, r, prefix)
		}
		return a.completeFunctions(cmd, args, prefix)
	}
	names, directive := a.completeFunctions(cmd, args, prefix)
	for _, r := range resources() {
		if strings.HasPrefix(r.plural, prefix) {
			names = append(names, r.plural)
		}
	}
	return names, directive
}

func (s *session) get(ctx context.Context, q *getQuery) error {
	if q.output != "" && q.output != "wide" {
		return s.getObjects(ctx, q)
	}
	t := newTable(s.app.env.Out, q.output == "wide", q.all, q.noHeaders)
	version := ""
	for _, name := range orAll(q.names) {
		data, err := raw(ctx, s.request(q, name).SetHeader("Accept", tableType).Param("includeObject", "Object"))
		if err != nil {
			return err
		}
		var content metav1.Table
		if err := json.Unmarshal(data, &content); err != nil {
			return fmt.Errorf("reading the list: %w", err)
		}
		t.add(&content)
		version = content.ResourceVersion
	}
	if t.empty() && !q.watch {
		where := "in namespace " + s.Namespace
		if q.all {
			where = "in any namespace"
		}
		fmt.Fprintf(s.app.env.Err, "there are no %s %s\n", q.resource.plural, where)
		return nil
	}
	t.flush()
	if !q.watch {
		return nil
	}
	return s.watchTable(ctx, q, t, version)
}

// raw is the body of an answer. Errors are those the server tells, which Raw alone would not read.
func raw(ctx context.Context, r *rest.Request) ([]byte, error) {
	result := r.Do(ctx)
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}

func orAll(names []string) []string {
	if len(names) == 0 {
		return []string{""}
	}
	return names
}

// request is the list, or one object.
func (s *session) request(q *getQuery, name string) *rest.Request {
	namespace := s.Namespace
	if q.all {
		namespace = ""
	}
	r := s.REST.Get().AbsPath(q.resource.path(namespace, name))
	if name != "" {
		return r
	}
	for key, value := range map[string]string{"labelSelector": q.selector, "fieldSelector": q.fields} {
		if value != "" {
			r = r.Param(key, value)
		}
	}
	if q.limit > 0 {
		r = r.Param("limit", fmt.Sprint(q.limit))
	}
	return r
}

// watchRequest follows the list, or the one name of it, from a version on.
func (s *session) watchRequest(q *getQuery, version string) *rest.Request {
	one := *q
	one.limit = 0
	if len(q.names) == 1 {
		one.fields = "metadata.name=" + q.names[0]
	}
	r := s.request(&one, "").Param("watch", "true")
	if version != "" {
		r = r.Param("resourceVersion", version)
	}
	return r
}

func (s *session) watchTable(ctx context.Context, q *getQuery, t *table, version string) error {
	stream, err := s.watchRequest(q, version).SetHeader("Accept", tableType).Param("includeObject", "Object").Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	return events(stream, func(kind string, object []byte) error {
		var content metav1.Table
		if err := json.Unmarshal(object, &content); err != nil {
			return fmt.Errorf("reading a change: %w", err)
		}
		t.add(&content)
		t.flush()
		return nil
	})
}

// events reads a stream of watch events until it ends.
func events(r io.Reader, each func(kind string, object []byte) error) error {
	for dec := json.NewDecoder(r); ; {
		var event struct {
			Type   string
			Object json.RawMessage
		}
		err := dec.Decode(&event)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading changes: %w", err)
		case event.Type == "BOOKMARK":
		case event.Type == "ERROR":
			var status metav1.Status
			if err := json.Unmarshal(event.Object, &status); err != nil {
				return fmt.Errorf("reading changes: %w", err)
			}
			return fmt.Errorf("the server ended the watch: %s", status.Message)
		default:
			if err := each(event.Type, event.Object); err != nil {
				return err
			}
		}
	}
}

// getObjects prints whole objects.
func (s *session) getObjects(ctx context.Context, q *getQuery) error {
	var items []unstructured.Unstructured
	version := ""
	for _, name := range orAll(q.names) {
		data, err := raw(ctx, s.request(q, name))
		if err != nil {
			return err
		}
		var one unstructured.Unstructured
		if err := one.UnmarshalJSON(data); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		version = one.GetResourceVersion()
		if !one.IsList() {
			items = append(items, one)
			continue
		}
		list, err := one.ToList()
		if err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		items = append(items, list.Items...)
	}
	if err := s.printItems(q, items); err != nil || !q.watch {
		return err
	}
	stream, err := s.watchRequest(q, version).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	return events(stream, func(_ string, data []byte) error {
		var one unstructured.Unstructured
		if err := one.UnmarshalJSON(data); err != nil {
			return fmt.Errorf("reading a change: %w", err)
		}
		return s.printItems(&getQuery{output: q.output, names: []string{one.GetName()}}, []unstructured.Unstructured{one})
	})
}

// printItems prints one object as itself and several as a List.
func (s *session) printItems(q *getQuery, items []unstructured.Unstructured) error {
	if q.output == "name" || len(q.names) == 1 && len(items) == 1 {
		for i := range items {
			if err := s.show(q.output, &items[i], nil); err != nil {
				return err
			}
		}
		return nil
	}
	contents := make([]any, len(items))
	for i := range items {
		items[i].SetManagedFields(nil)
		contents[i] = items[i].Object
	}
	return s.app.print(q.output, map[string]any{"apiVersion": "v1", "kind": "List", "items": contents, "metadata": map[string]any{"resourceVersion": ""}})
}
