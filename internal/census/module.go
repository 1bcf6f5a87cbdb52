package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
)

// A module is the gateway's program and the packages of the same module that it is made of.
type module struct {
	name, root string
	program    string // the main package's import path
	packages   map[string]*pkg
	exports    map[string]string // of every package it is built from: the compiler's export data
}

type pkg struct {
	ImportPath, Dir, Name, Export string
	GoFiles, Imports              []string
	Module                        *struct {
		Path, Dir string
		Main      bool
	}
}

func load(program string) (*module, error) {
	list := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Dir,Name,Export,GoFiles,Imports,Module", "./"+program)
	var failure bytes.Buffer
	list.Stderr = &failure
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, failure.Bytes())
	}
	m := &module{packages: map[string]*pkg{}, exports: map[string]string{}}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return nil, err
		}
		m.exports[p.ImportPath] = p.Export
		if p.Module == nil || !p.Module.Main {
			continue
		}
		m.name, m.root = p.Module.Path, p.Module.Dir
		m.packages[p.ImportPath] = &p
		if p.Name == "main" {
			m.program = p.ImportPath
		}
		for i, file := range p.GoFiles {
			p.GoFiles[i] = filepath.Join(p.Dir, file)
		}
	}
}
