package main

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// wholeLists refuses lists that are empty or have an empty element. That is what a variable leaves
// that a script forgot to set, and it would mean something: no listener, or one on a random port of
// all interfaces.
func wholeLists() kong.Option {
	split := kong.NewRegistry().RegisterDefaults().ForType(reflect.TypeFor[[]string]())
	return kong.KindMapper(reflect.Slice, kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		text, isText := ctx.Scan.Peek().Value.(string)
		if isText && slices.Contains(strings.Split(text, string(ctx.Value.Tag.Sep)), "") {
			return errors.New("the list is empty or has an empty element; leave the flag or the variable out for its default")
		}
		return split.Decode(ctx, target)
	}))
}
