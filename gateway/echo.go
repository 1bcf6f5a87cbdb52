package gateway

import "sluice/wsproto"

// hearsRoom reads what a request says behind its path: echo=0 asks to publish without hearing the
// room, echo=1 is the default, and both are nonsense. Other keys are for others, and ignored; so
// are those that cannot be decoded.
func hearsRoom(query []byte) (hears bool, refusal *wsproto.Refusal) {
	said := ""
	for v := range queryValues(query, "echo") {
		if v != "0" && v != "1" || said != "" && v != said {
			return false, wsproto.Refuse(wsproto.ReasonEcho)
		}
		said = v
	}
	return said != "0", nil
}
