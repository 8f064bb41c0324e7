package main

import "encoding/binary"

// Only what the client needs of the protobuf wire format, so that it is never the bottleneck.

// eachField calls visit with every length-delimited field of a message and skips the others.
func eachField(message []byte, visit func(number int, value []byte)) {
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return
		}
		message = message[size:]
		switch tag & 7 {
		case 0:
			_, size = binary.Uvarint(message)
			if size <= 0 {
				return
			}
			message = message[size:]
		case 1:
			message = message[min(8, len(message)):]
		case 2:
			length, size := binary.Uvarint(message)
			if size <= 0 || uint64(len(message)-size) < length {
				return
			}
			visit(int(tag>>3), message[size:size+int(length)])
			message = message[size+int(length):]
		case 5:
			message = message[min(4, len(message)):]
		default:
			return
		}
	}
}

func appendBytes(out []byte, number int, value []byte) []byte {
	out = binary.AppendUvarint(out, uint64(number)<<3|2)
	out = binary.AppendUvarint(out, uint64(len(value)))
	return append(out, value...)
}

func appendString(out []byte, number int, value string) []byte {
	return appendBytes(out, number, []byte(value))
}
