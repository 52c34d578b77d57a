package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// pages are the templates, one set a language, and the files that they load.
type pages struct {
	texts     texts
	templates map[string]*template.Template // by language
	files     map[string]asset              // by path below /assets/
}

type asset struct {
	kind string
	etag string
	body []byte
}

// base is what every template shows.
type base struct {
	Lang    string
	Texts   map[string]string
	Version string
	CSRF    string // empty when nobody is signed in
	Free    bool   // nobody has to
}

func newPages() (*pages, error) {
	p := &pages{templates: make(map[string]*template.Template), files: make(map[string]asset)}
	files, err := fs.Sub(assetFiles, "assets")
	if err != nil {
		return nil, err
	}
	if p.texts, err = loadTexts(files); err != nil {
		return nil, err
	}
	for _, lang := range languages {
		said := p.texts[lang]
		t := template.New("").Funcs(template.FuncMap{
			// An unknown key is a fault that the first page shown has, and tests find.
			"t": func(key string) (string, error) {
				if s, ok := said[key]; ok {
					return s, nil
				}
				return "", fmt.Errorf("no text %q", key)
			},
			"tn": func(key string, n int) string { return strings.ReplaceAll(said[key], "{n}", strconv.Itoa(n)) },
		})
		if p.templates[lang], err = t.ParseFS(files, "*.html"); err != nil {
			return nil, err
		}
	}
	for _, pattern := range []string{"*.css", "*.js", "*.svg"} {
		names, err := fs.Glob(files, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			body, err := fs.ReadFile(files, name)
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(body)
			p.files[name] = asset{assetType(name), `"` + hex.EncodeToString(sum[:8]) + `"`, body}
		}
	}
	return p, nil
}

// assetType does not ask the operating system, whose table may say anything.
func assetType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return mime.TypeByExtension(path.Ext(name))
	}
}

// assets serves the files; they hold nothing that is not in the source.
func (p *pages) assets() http.Handler {
	return http.StripPrefix("/assets/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := p.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.kind)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", a.etag)
		if r.Header.Get("If-None-Match") == a.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(a.body) // the only failure is a client that went away
	}))
}

// show writes a page whole or not at all.
func (p *pages) show(w http.ResponseWriter, status int, name string, data interface{ language() string }) {
	var b bytes.Buffer
	if err := p.templates[data.language()].ExecuteTemplate(&b, name+".html", data); err != nil {
		http.Error(w, fmt.Sprintf("making the page: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", data.language())
	w.Header().Set("Vary", "Accept-Language")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
}

func (b base) language() string { return b.Lang }

func (s *Server) base(r *http.Request) base {
	lang := pickLanguage(r.Header.Get("Accept-Language"))
	return base{Lang: lang, Texts: s.page.texts[lang], Version: s.o.Version, Free: s.free}
}

// showPage is the page itself. It holds no state: that comes by the stream.
func (s *Server) showPage(w http.ResponseWriter, r *http.Request) {
	b := s.base(r)
	if !s.free {
		have, ok := s.present(r, true)
		if !ok {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		b.CSRF = have.csrf
	}
	name := "main"
	if s.o.Main == nil {
		name = "replica"
	}
	s.page.show(w, http.StatusOK, name, b)
}

// TextsJSON is the table of texts for the page's script.
func (b base) TextsJSON() (template.JS, error) {
	raw, err := json.Marshal(b.Texts) // escapes <, > and &
	return template.JS(raw), err
}
