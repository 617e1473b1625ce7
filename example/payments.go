package main

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/grant"
)

// payment is an authorization detail (RFC 9396) as an application asks for it:
//
//	[{"type":"payment","amount":"12.50","currency":"EUR","creditor":"Hatter & Sons"}]
type payment struct {
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
	Creditor string `json:"creditor"`
}

const paymentType = "payment"

var (
	paymentAmount   = regexp.MustCompile(`^[0-9]{1,6}\.[0-9]{2}$`)
	paymentCurrency = regexp.MustCompile(`^[A-Z]{3}$`)
)

// checkPayment refuses what a user could not judge on the consent page.
func checkPayment(_ context.Context, _ *server.Request, detail grant.AuthorizationDetail) error {
	var p payment
	if err := detail.Decode(&p); err != nil {
		return err
	}
	switch {
	case !paymentAmount.MatchString(p.Amount), !paymentCurrency.MatchString(p.Currency):
		return errors.New("the amount or the currency is none")
	case strings.TrimSpace(p.Creditor) == "", len(p.Creditor) > 70, display.Text(p.Creditor) != p.Creditor:
		return errors.New("the creditor is not a name of 70 bytes at most that can be seen")
	}
	return nil
}

// paymentsOf returns the payments of authorization details.
func paymentsOf(details string) (payments []payment, err error) {
	all, err := grant.ParseAuthorizationDetails(details)
	if err != nil {
		return nil, err
	}
	for _, detail := range all {
		var p payment
		if err := detail.Decode(&p); err != nil {
			return nil, err
		}
		payments = append(payments, p)
	}
	return payments, nil
}
