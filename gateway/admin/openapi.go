package admin

import (
	_ "embed"
	"net/http"
)

// openAPI describes every route below /api; a test compares it with the mux.
//
//go:embed openapi.json
var openAPI []byte

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) { writeBytes(w, http.StatusOK, openAPI) }
