package main

import (
	"fmt"
	"net/http"

	"sluice/web"
)

// pagesOf is what answers paths that are no WebSockets, as --web says; nil: nothing.
func pagesOf(what string) (http.Handler, error) {
	switch what {
	case "demo":
		return web.New(web.Options{Version: version()}), nil
	case "off":
		return nil, nil
	}
	pages, err := web.Directory(what)
	if err != nil {
		return nil, fmt.Errorf("--web: neither demo nor off, nor a directory: %w", err)
	}
	return pages, nil
}
