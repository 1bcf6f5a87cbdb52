package main

import (
	"io"
	"log/slog"

	"sluice/gateway/admin"
)

// newLogger writes as the configuration says, from a level on that may change.
func newLogger(cfg *Config, level *slog.LevelVar, w io.Writer) *slog.Logger {
	setLevel(level, cfg.LogLevel)
	var h slog.Handler = slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	if cfg.LogFormat == "json" {
		h = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	if len(cfg.AdminListen) > 0 {
		h = admin.NewTail(h) // For the live page.
	}
	return slog.New(h)
}

func setLevel(level *slog.LevelVar, name string) {
	_ = level.UnmarshalText([]byte(name)) // kong has held it to the four names
}
