package construct_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/construct"
)

func TestEachFaultIsNamedOnce(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	wrapped := fmt.Errorf("%w, and %w", a, b)
	for want, faults := range map[string][]error{
		"a\nb":           {errors.Join(a, errors.Join(a, b)), b},
		"a, and b\nb":    {wrapped, b},
		"a\nb\na, and b": {errors.Join(a, b, wrapped)},
	} {
		err := construct.Join(faults...)
		assert.EqualError(t, err, want)
		assert.ErrorIs(t, err, b)
	}
	assert.EqualError(t, construct.Join(a, nil, errors.New("a")), "a")
	assert.NoError(t, construct.Join(nil, errors.Join()))
}

type settings struct {
	Reader io.Reader
	Func   func()
	hidden io.Reader
}

func TestWhatIsNilBehindAnInterfaceIsRefused(t *testing.T) {
	var nobody *settings
	var reader *io.PipeReader
	for rule, c := range map[string]struct {
		value any
		want  string
	}{
		"nothing":              {nil, "a nil <nil> was given"},
		"a nil pointer":        {nobody, "a nil *construct_test.settings was given"},
		"a nil field":          {&settings{}, ""},
		"a nil in a field":     {&settings{Reader: reader}, "construct_test.settings.Reader is a nil *io.PipeReader; look at the error"},
		"a nil in a value":     {settings{Reader: reader}, "construct_test.settings.Reader is a nil *io.PipeReader; look at the error"},
		"what nobody else has": {&settings{hidden: reader}, ""},
		"no struct":            {"text", ""},
	} {
		err := construct.Given(c.value)
		if c.want == "" {
			assert.NoError(t, err, rule)
		} else {
			assert.ErrorContains(t, err, c.want, rule)
		}
	}
}
