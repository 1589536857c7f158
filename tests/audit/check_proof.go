// Checks one .tlog-proof file with the note and tlog packages of the Go checksum database.
package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(what interface{}) {
	fmt.Println("fails:", what)
	os.Exit(1)
}

func read(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		fail(err)
	}
	return string(data)
}

func hash(text string) (h tlog.Hash) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != len(h) {
		fail("no hash: " + text)
	}
	copy(h[:], raw)
	return h
}

func main() {
	parts := strings.SplitN(read(os.Args[1]), "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	verifier, err := note.NewVerifier(strings.TrimSpace(read(os.Args[3])))
	if err != nil {
		fail(err)
	}
	opened, err := note.Open([]byte(parts[1]), note.VerifierList(verifier))
	if err != nil {
		fail(err)
	}
	tree := strings.Split(opened.Text, "\n")
	size, _ := strconv.ParseInt(tree[1], 10, 64)
	index, _ := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		proof = append(proof, hash(line))
	}
	leaf := tlog.RecordHash([]byte(read(os.Args[2])))
	if err := tlog.CheckRecord(proof, size, hash(tree[2]), index, leaf); err != nil {
		fail(err)
	}
	fmt.Println("holds")
}
