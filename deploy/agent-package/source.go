// Package agentpackage holds the source of the WAPT package that points the
// agents of a site at their repository. `waptsync agent-package` fills it in;
// docs/agents.md says how it is used.
package agentpackage

import "embed"

// Source is the package with @WORDS@ where the site's values belong.
//
//go:embed setup.py WAPT/control
var Source embed.FS
