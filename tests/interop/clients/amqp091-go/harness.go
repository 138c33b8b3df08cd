// SPDX-License-Identifier: Apache-2.0

// The scenarios with amqp091-go: names on standard input, one answer a line; see ../../scenarios.toml.
package main

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	scenarios = map[string]func(){}
	roles     = map[string]func(arguments []string){}
	numbers   int64
)

func scenario(name string, does func()) bool {
	scenarios[name] = does
	return true
}

func role(name string, does func(arguments []string)) bool {
	roles[name] = does
	return true
}

// A scenario fails by panicking with the reason.
func fail(format string, words ...interface{}) {
	panic(fmt.Sprintf(format, words...))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(condition bool, what string) {
	if !condition {
		panic(what)
	}
}

func same(found, wanted interface{}, what string) {
	if !reflect.DeepEqual(found, wanted) {
		fail("%s: found %#v, expected %#v", what, found, wanted)
	}
}

func eventually(what string, timeout time.Duration, condition func() bool) {
	deadline := time.Now().Add(timeout)
	for !condition() {
		check(time.Now().Before(deadline), fmt.Sprintf("%s: not within %s", what, timeout))
		time.Sleep(5 * time.Millisecond)
	}
}

// expect fills a struct with what the list says of the scenario.
func expect(name string, into interface{}) {
	text, err := os.ReadFile(os.Getenv("SCENARIOS"))
	must(err)
	listed := map[string]struct{ Expect json.RawMessage }{}
	must(json.Unmarshal(text, &listed))
	must(json.Unmarshal(listed[name].Expect, into))
}

// arguments is a table of the list: JSON's numbers are integers there.
type arguments map[string]interface{}

func (a arguments) table() amqp.Table {
	table := amqp.Table{}
	for name, value := range a {
		if number, is := value.(float64); is {
			value = int64(number)
		}
		table[name] = value
	}
	return table
}

// A name that no other client or scenario uses.
func unique(kind string) string {
	return fmt.Sprintf("t.%s.%s.%d", os.Getenv("INTEROP_TOKEN"), kind, atomic.AddInt64(&numbers, 1))
}

// The same pseudo-random bytes for the same seed.
func bodyOf(size int, seed byte) []byte {
	key := sha256.Sum256([]byte{seed})
	block, err := aes.NewCipher(key[:])
	must(err)
	body := make([]byte, size)
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(body, body)
	return body
}

// Another process of this client that plays a role, once it is where the scenario wants it.
func child(words ...string) *os.Process {
	command := exec.Command(os.Args[0], words...)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	must(err)
	must(command.Start())
	said, _ := bufio.NewReader(out).ReadString('\n')
	if said != "there\n" {
		endChild(command.Process)
		fail("the child process (%s) said %q", words[0], said)
	}
	return command.Process
}

func endChild(process *os.Process) {
	process.Kill()
	process.Wait()
}

func there() {
	fmt.Println("there")
}

func one(name string) {
	defer func() {
		if problem := recover(); problem != nil {
			fmt.Printf("not ok %s - %s\n", name, strings.Join(strings.Fields(fmt.Sprint(problem)), " "))
			for _, line := range strings.Split(string(debug.Stack()), "\n") {
				fmt.Println("# " + line)
			}
		}
	}()
	scenarios[name]()
	fmt.Println("ok " + name)
}

func main() {
	if len(os.Args) > 1 {
		roles[os.Args[1]](os.Args[2:])
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		one(strings.TrimSpace(lines.Text()))
	}
}
