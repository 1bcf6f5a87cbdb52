package main

import (
	"fmt"

	"sluice/gateway/admin"
)

// A keyCommand makes a key for the admin listener.
type keyCommand struct{}

// Help is kong's way to ask for more to say.
func (keyCommand) Help() string {
	return `The key goes into the file that --admin-key-file names, one on a line, and to whoever is to ask:

  (umask 077; gateway key > admin.key)
  curl -H "Authorization: Bearer $(cat admin.key)" -d hello http://127.0.0.1:8081/api/rooms/lobby/messages

Several lines are several keys. Behind one may stand the rooms that it is for, as in ticker.* news; without any it is for all.`
}

// Run prints the key.
func (keyCommand) Run(p *program) error {
	_, err := fmt.Fprintln(p.stdout, admin.NewKey())
	return err
}
