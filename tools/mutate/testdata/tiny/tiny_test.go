package tiny

import "testing"

func TestTake(t *testing.T) {
	stock := New()
	if some, err := stock.Take("nails", ""); some != "few" || err != nil {
		t.Error(some, err)
	}
	if stock.Of["nails"] != 2 {
		t.Error(stock.Of)
	}
	if _, err := stock.Take("screws"); err == nil {
		t.Error("took what is not there")
	}
}

func TestLast(t *testing.T) {
	if Last([]int{1, 2}) != 2 || Last([]int(nil)) != 0 {
		t.Error("another one")
	}
}
