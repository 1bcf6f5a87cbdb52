// Program plantedrace changes memory while a system call reads or writes it. Built with -race it must be caught.
package main

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"sluice/reactor/internal/sys"
)

func main() {
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var (
		kernel sys.Real
		buf    = make([]byte, 8)
		done   sync.WaitGroup
	)
	call := func() { kernel.Write(ends[1], buf) }
	if os.Args[1] == "read" {
		call()
		call = func() { kernel.Read(ends[0], buf) }
	}
	done.Go(func() { buf[3] = 1 })
	if len(os.Args) > 2 && os.Args[2] == "ordered" {
		done.Wait()
	}
	call()
	done.Wait()
}
