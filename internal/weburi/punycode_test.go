package weburi

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// The samples of RFC 3492 section 7.1, as domain names have them: in lowercase.
func TestPunycode(t *testing.T) {
	for encoded, text := range map[string]string{
		"egbpdaj6bu4bxfgehfvwxn":                 "ليهمابتكلموشعربي؟",
		"ihqwcrb4cv8a8dqg056pqjye":               "他们为什么不说中文",
		"ihqwctvzc91f659drss3x8bo0yb":            "他們爲什麽不說中文",
		"proprostnemluvesky-uyb24dma41a":         "pročprostěnemluvíčesky",
		"4dbcagdahymbxekheh6e0a7fei0b":           "למההםפשוטלאמדבריםעברית",
		"n8jok5ay5dzabd5bym9f0cm5685rrjetr6pdxa": "なぜみんな日本語を話してくれないのか",
		"b1abfaaepdrnnbgefbadotcwatmq2g4l":       "почемужеонинеговорятпорусски",
		"3b-ww4c5e180e575a65lsy2b":               "3年b組金八先生",
		"-> $1.00 <--":                           "-> $1.00 <-",
	} {
		got, ok := decodePunycode(encoded)
		assert.True(t, ok, encoded)
		assert.Equal(t, text, got)
	}
}
