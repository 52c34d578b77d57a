package bus

import "testing"

func TestPackagePrefix(t *testing.T) {
	for path, want := range map[string]string{
		"tis-7zip_24.08-1_x64.wapt":    "tis-7zip_",
		"pool/a_b/tis-7zip_24.08.wapt": "pool/a_b/tis-7zip_",
		"pool/a_b/tis-7zip.wapt":       "",
		"_odd.wapt":                    "",
		"pool/_odd.wapt":               "",
		"4C4C4544-0042-3510-8052.wapt": "",
	} {
		got, ok := PackagePrefix(path)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", path, got, ok, want)
		}
	}
}
