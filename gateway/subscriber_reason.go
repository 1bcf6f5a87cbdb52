package gateway

import (
	"sluice/gateway/centrifuge"
	"sluice/wsproto"
)

// subscriberReasons are what subscribers are told instead of what stands in reasons. Their clients
// go by the code: most reconnect, some never do, and a few only where the text is not empty, so it
// never is. Without one here it is the code's own.
var subscriberReasons = [NumCloseReasons]struct {
	code centrifuge.CloseCode
	text string
}{
	ClosedProtocol:        {centrifuge.CloseBadRequest, "protocol error"},
	ClosedTooBig:          {centrifuge.CloseCode(wsproto.CodeMessageTooBig), "message too big"},
	ClosedNotUTF8:         {centrifuge.CloseBadRequest, "text is not UTF-8"},
	ClosedCorrupt:         {centrifuge.CloseBadRequest, "cannot be inflated"},
	ClosedInflation:       {centrifuge.CloseTooManyRequests, "inflates too much"},
	ClosedSlow:            {centrifuge.CloseSlow, ""},
	ClosedDoesNotRead:     {centrifuge.CloseSlow, "does not read"},
	ClosedReplies:         {centrifuge.CloseSlow, "does not read replies"},
	ClosedNoPong:          {centrifuge.CloseNoPong, ""},
	ClosedDrain:           {centrifuge.CloseShutdown, ""},
	ClosedAssembly:        {centrifuge.CloseTooManyRequests, "out of memory for unfinished messages"},
	ClosedFragments:       {centrifuge.CloseBadRequest, "too many fragments"},
	ClosedAssemblyTimeout: {centrifuge.CloseForceReconnect, "message not finished in time"},
	ClosedFrameRate:       {centrifuge.CloseTooManyRequests, "too many frames"},
	ClosedPingRate:        {centrifuge.CloseTooManyRequests, "too many pings"},
	ClosedMessageRate:     {centrifuge.CloseTooManyRequests, "too many commands for too long"},
	ClosedByteRate:        {centrifuge.CloseTooManyRequests, "too many bytes for too long"},
	ClosedLifetime:        {centrifuge.CloseForceReconnect, "time to reconnect"},
	ClosedFault:           {centrifuge.CloseInternal, ""},
	ClosedByOperator:      {centrifuge.CloseForceDisconnect, ""},
	ClosedExpired:         {centrifuge.CloseExpired, ""},
	ClosedBadCommand:      {centrifuge.CloseBadRequest, ""},
	ClosedStale:           {centrifuge.CloseStale, ""},
	ClosedUnsupported:     {centrifuge.CloseNotAvailable, ""},
	ClosedGap:             {centrifuge.CloseInsufficientState, ""},
	ClosedBadToken:        {centrifuge.CloseInvalidToken, ""},
	ClosedTermsExpired:    {centrifuge.CloseSubExpired, ""},
	ClosedOutage:          {centrifuge.CloseForceReconnect, "the cluster cannot be reached"},
}

// wordsFor are the code and the text of the Close frame that the client gets for a reason, if its
// end has one.
func (c *conn) wordsFor(r CloseReason) (code wsproto.Code, text string) {
	f := &subscriberReasons[r]
	if c.past != subscribes || f.code == 0 {
		return reasons[r].code, reasons[r].text
	}
	if f.text == "" {
		return wsproto.Code(f.code), f.code.Reason()
	}
	return wsproto.Code(f.code), f.text
}
