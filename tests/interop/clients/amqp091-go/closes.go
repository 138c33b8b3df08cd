// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"net"
	"sync"
)

// amqp091-go's errors carry code and text alone; the ids of the method that failed are read off the wire.
type closing struct {
	Level               string
	Code, Class, Method uint16
}

var (
	closesLock sync.Mutex
	closed     *closing
)

func noteClose(found *closing) {
	closesLock.Lock()
	defer closesLock.Unlock()
	closed = found
}

func lastClose() *closing {
	closesLock.Lock()
	defer closesLock.Unlock()
	return closed
}

const (
	frameHeaderBytes = 7
	frameMethod      = 1
	closeBytesMax    = 2 + 2 + 2 + 256 + 2 + 2
)

// watched notes channel.close and connection.close among the frames that are read.
type watched struct {
	net.Conn
	kept []byte // of a frame that may be one
	skip int    // bytes of one that is not
}

func (w *watched) Read(into []byte) (int, error) {
	n, err := w.Conn.Read(into)
	for rest := into[:n]; len(rest) > 0; {
		rest = w.take(rest)
	}
	return n, err
}

// take returns what is left behind one step.
func (w *watched) take(piece []byte) []byte {
	if w.skip > 0 {
		n := min(w.skip, len(piece))
		w.skip -= n
		return piece[n:]
	}
	wanted := frameHeaderBytes
	if len(w.kept) >= frameHeaderBytes {
		size := int(binary.BigEndian.Uint32(w.kept[3:]))
		if w.kept[0] != frameMethod || size > closeBytesMax {
			w.kept, w.skip = w.kept[:0], size+1
			return piece
		}
		wanted += size + 1
	}
	n := min(wanted-len(w.kept), len(piece))
	w.kept = append(w.kept, piece[:n]...)
	if wanted > frameHeaderBytes && len(w.kept) == wanted {
		note(w.kept[frameHeaderBytes : wanted-1])
		w.kept = w.kept[:0]
	}
	return piece[n:]
}

func note(method []byte) {
	level := map[uint32]string{20<<16 | 40: "channel", 10<<16 | 50: "connection"}[binary.BigEndian.Uint32(method)]
	if level == "" {
		return
	}
	ids := method[7+int(method[6]):]
	noteClose(&closing{level, binary.BigEndian.Uint16(method[4:]), binary.BigEndian.Uint16(ids),
		binary.BigEndian.Uint16(ids[2:])})
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
