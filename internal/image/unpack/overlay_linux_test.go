package unpack

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// The kernel itself says whether whiteouts were written as it reads them.
func TestWhiteoutsMounted(t *testing.T) {
	base := t.TempDir()
	if !CanOverlay(base) {
		t.Skip("the file system does not take whiteouts")
	}
	lower := archive(t, file("gone", "1"), file("dir/old", "1"), file("kept", "1"), file("replaced/old", "1"), file("late/old", "1"))
	upper := archive(t, file(".wh.gone", ""), file("dir/.wh..wh..opq", ""), file("dir/new", "2"),
		file(".wh.replaced", ""), dir("replaced"), file("replaced/new", "2"), // removed, then made anew
		file("late/new", "2"), file(".wh.late", "")) // the same, said in the other order
	layers := make([]string, 2)
	for i, data := range [][]byte{lower, upper} {
		layers[i] = filepath.Join(base, fmt.Sprint(i))
		if err := os.Mkdir(layers[i], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unpackInto(t, layers[i], data, Options{Whiteouts: Overlay}); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"", ",userxattr"} {
		merged := filepath.Join(base, "merged"+kind)
		if err := os.Mkdir(merged, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("overlay", merged, "overlay", syscall.MS_RDONLY, "lowerdir="+layers[1]+":"+layers[0]+kind); err != nil {
			t.Skipf("needs the right to mount an overlay: %v", err)
		}
		got := tree(t, merged)
		if err := syscall.Unmount(merged, 0); err != nil {
			t.Error(err)
		}
		want := []string{"dir/", "dir/new = 2", "kept = 1", "late/", "late/new = 2", "replaced/", "replaced/new = 2"}
		if !slices.Equal(got, want) {
			t.Errorf("mounted%s\ngot  %q\nwant %q", kind, got, want)
		}
	}
}
