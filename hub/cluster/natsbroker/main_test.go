package natsbroker

import (
	"os"
	"testing"

	"sluice/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }
