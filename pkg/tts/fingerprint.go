package tts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/talker"
)

// Fingerprint tells apart what decides ids, codes and vectors: configuration, header and the first bytes of each tensor of
// the parts, and their dtypes. So two epochs of one training differ.
func (l *Listener) Fingerprint() (string, error) {
	dirs := []string{l.dir}
	if there, err := hasSpeaker(l.dir); err != nil {
		return "", err
	} else if !there && l.Config.Type == talker.Base && l.o.Parts != "" {
		dirs = append(dirs, l.o.Parts)
	}
	if dir, err := l.codecDir(); err == nil {
		dirs = append(dirs, dir)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%v %v\n", l.Config.Raw, l.o.DType, l.o.CodecDType)
	for _, dir := range dirs {
		if err := digest(h, dir); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// digest writes what a folder's tensors are, and where they begin what they hold: 4 KiB of each, since all of a large
// checkpoint would take a minute to read.
func digest(to io.Writer, dir string) error {
	src, err := ckpt.Open(dir)
	if err != nil {
		return err
	}
	defer src.Close()
	for _, info := range src.Infos() {
		head := make([]byte, min(info.Bytes, 4<<10))
		if err := src.CopyAt(head, info.Name, 0); err != nil {
			return err
		}
		fmt.Fprintf(to, "%v %x\n", info, head) // a hash returns no error
	}
	return nil
}
