package console

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// languages are those of the page; the first is for everybody else.
var languages = []string{"en", "fr"}

// texts are all texts of the page, by language and key.
type texts map[string]map[string]string

// loadTexts reads texts.json, which has a line for each text with all languages.
func loadTexts(files fs.FS) (texts, error) {
	raw, err := fs.ReadFile(files, "texts.json")
	if err != nil {
		return nil, err
	}
	var table map[string]map[string]string
	if err := json.Unmarshal(raw, &table); err != nil {
		return nil, fmt.Errorf("reading the texts: %w", err)
	}
	out := make(texts)
	for _, lang := range languages {
		out[lang] = make(map[string]string, len(table))
		for key, said := range table {
			if said[lang] == "" {
				return nil, fmt.Errorf("text %q has no %s", key, lang)
			}
			out[lang][key] = said[lang]
		}
	}
	return out, nil
}

// pickLanguage is the language of ours that a browser likes best (RFC 9110
// section 12.5.4); the first of ours if it names none of them.
func pickLanguage(accept string) string {
	best, bestQ := languages[0], 0.0
	for item := range strings.SplitSeq(accept, ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		q := 1.0
		if text, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				continue
			}
			q = v
		}
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		for _, lang := range languages {
			if primary == lang && q > bestQ {
				best, bestQ = lang, q
			}
		}
	}
	return best
}
