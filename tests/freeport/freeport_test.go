package freeport

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func TestNoBlockIsGivenTwice(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		base := Block(10)
		if seen[base] {
			t.Fatalf("%d was given twice", base)
		}
		seen[base] = true
	}
}

func TestAPortThatIsTakenIsNotGiven(t *testing.T) {
	base := Block(10)
	l, err := net.Listen("tcp", at(base+9))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if allFree(base, 10) {
		t.Error("a block with a server on its last port counts as free")
	}
	if !allFree(base, 9) {
		t.Error("a block that ends before the server does not count as free")
	}
}

// TestAnotherProcessDoesNotGetWhatIsClaimed runs itself as the other process.
func TestAnotherProcessDoesNotGetWhatIsClaimed(t *testing.T) {
	if base := os.Getenv("FREEPORT_CLAIM"); base != "" {
		port, err := strconv.Atoi(base)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("claimed: %t", claim(port))
		return
	}
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "FREEPORT_CLAIM="+strconv.Itoa(Block(10)))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "claimed: false") {
		t.Errorf("%v, %s", err, out)
	}
}
