package v1beta2_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

func TestLongName(t *testing.T) {
	for length, refused := range map[int]bool{v1beta2.MaxFunctionName: false, v1beta2.MaxFunctionName + 1: true} {
		f := &v1beta2.Function{Spec: v1beta2.FunctionSpec{Image: "i", Serving: &v1beta2.FunctionServing{}}}
		f.Name = strings.Repeat("a", length)
		f.Default()
		_, errs := f.Validate()
		if refused != (len(errs) == 1) || refused && !strings.Contains(errs[0].Error(), "metadata.name: Too long: may not be more than 57 ") {
			t.Errorf("%d characters: %v", length, errs)
		}
		if revision := f.Name + "-00001"; refused != (len(validation.IsValidLabelValue(revision)) > 0) {
			t.Errorf("%d characters: is %q a label?", length, revision)
		}
	}
}
