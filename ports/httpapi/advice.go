package httpapi

import "net/http"

// advice is the page that a problem's type leads to. Codes are part of the public contract.
type advice struct {
	code   string
	status int
	title  string
	remedy string
}

// advices lists every code that a service can give.
var advices = []advice{
	// the request as a whole
	{"invalid_request", http.StatusBadRequest, "Several things are wrong with the request", "Mend everything that errors names, then send it again."},
	{"malformed_json", http.StatusBadRequest, "The body is not JSON", "Send one JSON object and nothing after it. The detail says where reading stopped."},
	{"unreadable_body", http.StatusBadRequest, "The body did not arrive whole", "Check Content-Length, and send the request again."},
	{"wrong_type", http.StatusBadRequest, "A value has the wrong type", "Compare the value at the pointer with the contract at /openapi.yaml. Whole numbers are written without fraction or exponent."},
	{"number_out_of_range", http.StatusBadRequest, "A number is too large", "Whole numbers must fit into 64 bits."},
	{"missing_field", http.StatusBadRequest, "A member is missing", "Add the member that the pointer names."},
	{"unknown_field", http.StatusBadRequest, "A member is not known", "Remove the member, or mend its spelling. Names are case-sensitive."},
	{"duplicate_field", http.StatusBadRequest, "A member stands there twice", "Give every member once: readers do not agree on which one counts."},
	{"malformed_query", http.StatusBadRequest, "The query string cannot be read", "Escape what stands after the question mark as in a URL."},
	{"unknown_parameter", http.StatusBadRequest, "A parameter is not known", "Remove the parameter, or mend its spelling. Otherwise it would be ignored, and the list would be another one than was meant."},
	{"duplicate_parameter", http.StatusBadRequest, "A parameter stands there twice", "Give every parameter once."},
	{"invalid_idempotency_key", http.StatusBadRequest, "The Idempotency-Key is malformed", "Send one Idempotency-Key of 1 to 255 printable ASCII characters, as they are or as a quoted string. A UUID is a good one."},
	{"invalid_last_event_id", http.StatusBadRequest, "The Last-Event-ID is malformed", "Send the id of the last event that you have, as it came, once; or leave the header out to begin with the first."},

	// values
	{"invalid_user_id", http.StatusBadRequest, "The user id is malformed", "A userId is 1 to 64 letters, digits, _ or -."},
	{"invalid_items", http.StatusBadRequest, "The number of items is out of range", "An order has 1 to 100 items."},
	{"unknown_sku", http.StatusBadRequest, "A SKU is not in the catalog", "GET /api/v1/products lists what can be ordered."},
	{"duplicate_sku", http.StatusBadRequest, "A SKU stands there twice", "Give each SKU once, with its whole quantity."},
	{"invalid_qty", http.StatusBadRequest, "A quantity is out of range", "qty is 1 to 1000."},
	{"price_mismatch", http.StatusBadRequest, "A price is not the catalog's", "Leave the price out, or fetch it anew from GET /api/v1/products/{sku} and ask your customer."},
	{"invalid_currency", http.StatusBadRequest, "The currency is malformed", "A currency is three capital letters as in ISO 4217, such as LKR."},
	{"currency_mismatch", http.StatusBadRequest, "The catalog has another currency", "Order in the currency in which the products are sold."},
	{"mixed_currencies", http.StatusBadRequest, "Amounts of different currencies cannot be added", "Place one order a currency."},
	{"invalid_payment_method", http.StatusBadRequest, "The payment method is malformed", "A paymentMethod is 1 to 64 letters, digits, _ or -. Leave it out for the default."},
	{"amount_overflow", http.StatusBadRequest, "The amount is too large", "Place several smaller orders."},
	{"invalid_total", http.StatusBadRequest, "The total is not above zero", "An order must cost something."},
	{"invalid_order_id", http.StatusBadRequest, "The order id is malformed", "An order id is ord_ and 1 to 64 letters and digits, as the Location of the 202 gave it."},
	{"invalid_status", http.StatusBadRequest, "The status is not known", "status is PENDING, PROCESSING, PAID, CONFIRMED, FAILED or CANCELLED."},
	{"invalid_time", http.StatusBadRequest, "A time is malformed", "Write times as RFC 3339, such as 2026-01-02T15:04:05Z, and a plus sign in a URL as %2B."},
	{"invalid_range", http.StatusBadRequest, "The range is empty", "from must be earlier than to."},
	{"invalid_limit", http.StatusBadRequest, "The limit is out of range", "limit is a whole number from 1 to 200."},
	{"invalid_cursor", http.StatusBadRequest, "The cursor is malformed", "Give the nextCursor of the page before, unchanged, or none to begin anew."},

	// who asks
	{"unauthenticated", http.StatusUnauthorized, "A token is wanted", "Send Authorization: Bearer and a JWT of your identity provider; to try things out, `millrace token` prints one. Products, stock and these pages want none."},
	{"invalid_token", http.StatusUnauthorized, "The token is not taken", "The detail says why. Fetch a new token where yours came from. It has to be signed with a key that this service knows, and needs exp, and sub in the form of a userId."},
	{"forbidden_user", http.StatusForbidden, "You may act for your own user alone", "Give the userId that is the sub of your token, or leave it out of a list. Operators use a token whose scope has orders:all."},

	// what is not there
	{"route_not_found", http.StatusNotFound, "There is nothing at this path", "The contract at /openapi.yaml lists every path. Paths have no slash at their end."},
	{"problem_not_found", http.StatusNotFound, "There is no such problem", "GET /problems lists every code."},
	{"order_not_found", http.StatusNotFound, "There is no such order", "Check the id, and the place that you ask: every installation has orders of its own."},
	{"product_not_found", http.StatusNotFound, "There is no such product", "GET /api/v1/products lists what there is."},
	{"stock_not_found", http.StatusNotFound, "There is no stock of that SKU", "GET /api/v1/stock lists what there is."},

	// what the state does not allow
	{"order_settled", http.StatusConflict, "The order has ended", "Nothing can be done to an order that is CONFIRMED, FAILED or CANCELLED. Place a new one."},
	{"idempotency_key_reused", http.StatusConflict, "The key was used for another request", "Use a new Idempotency-Key for every new order. To repeat an order's request, send the same bytes."},
	{"idempotency_in_progress", http.StatusConflict, "The first request with this key is still running", "Wait as long as Retry-After says, then send the same request again: it gets the first one's answer."},
	{"transaction_conflict", http.StatusConflict, "Somebody else changed the same thing", "Send the request again."},
	{"unique_violation", http.StatusConflict, "Such a thing is there already", "Look at what is there, then decide."},
	{"stale", http.StatusConflict, "Somebody else has moved on since", "Look at what is there, then decide."},

	// the protocol
	{"method_not_allowed", http.StatusMethodNotAllowed, "The path does not take this method", "The Allow header lists the methods that it takes."},
	{"body_too_large", http.StatusRequestEntityTooLarge, "The body is too large", "A body has at most 64 KiB. A hundred items fit in 20."},
	{"unsupported_media_type", http.StatusUnsupportedMediaType, "The body is not sent as JSON", "Send Content-Type: application/json, and no Content-Encoding."},

	// our side
	{"internal", http.StatusInternalServerError, "Something went wrong on our side", "Report the traceId: it finds the cause in the logs. Sending the request again with the same Idempotency-Key is safe."},
	{"constraint_violation", http.StatusInternalServerError, "Something went wrong on our side", "Report the traceId: it finds the cause in the logs."},
	{"database_login", http.StatusInternalServerError, "The database refuses the service's login", "Nothing was done. Whoever operates the service must set the right user and password."},
	{"database_missing", http.StatusInternalServerError, "The service's database is not there", "Nothing was done. Whoever operates the service must make it, or name the right one."},
	{"timeout", http.StatusServiceUnavailable, "The service did not finish in time", "Send the request again with the same Idempotency-Key: whatever became of the first one, there is one order."},
	{"overloaded", http.StatusServiceUnavailable, "More orders come in than can be worked off", "Nothing was done. Wait as long as Retry-After says, then send the request again. What was accepted before goes on, and can be looked at and cancelled."},
	{"token_keys_unavailable", http.StatusServiceUnavailable, "The keys that tokens are checked with are not to be had", "Nothing was done. Wait as long as Retry-After says, then send the request again. Whoever operates the service must see why the address in JWT_JWKS_URL does not answer."},
	{"too_many_streams", http.StatusServiceUnavailable, "As many streams are open as the service keeps", "Wait as long as Retry-After says, then open the stream again; GET /api/v1/orders/{orderId} shows the order meanwhile. Close streams that you do not need, and let several readers of one order share one."},
	{"database_unavailable", http.StatusServiceUnavailable, "The database is not reachable", "Wait as long as Retry-After says, then send the request again with the same Idempotency-Key: whatever became of the first one, there is one order. Without a key look at the user's orders before: it may have been stored when the connection broke."},
	{"database_busy", http.StatusServiceUnavailable, "The database is busy", "Nothing was done. Wait as long as Retry-After says, then send the request again."},
	{"database_slow", http.StatusServiceUnavailable, "The database is too slow", "Nothing was done. Wait as long as Retry-After says, then send the request again."},
	{"disk_full", http.StatusServiceUnavailable, "The service cannot store anything", "Nothing was done. Whoever operates the service must make room on its disk."},
	{"database_read_only", http.StatusServiceUnavailable, "The database accepts no writes", "Nothing was done. Whoever operates the service must let the database write again."},
	{"upstream_unavailable", http.StatusServiceUnavailable, "The service behind the gateway is away", "Nothing was done. Wait as long as Retry-After says, then send the request again."},
	{"upstream_crowded", http.StatusServiceUnavailable, "The service behind the gateway has too much in hand", "Nothing was done. Wait as long as Retry-After says, then send the request again."},
	{"upstream_failed", http.StatusBadGateway, "The service behind the gateway broke off", "Send the request again with the same Idempotency-Key: whatever became of the first one, there is one order."},
	{"upstream_timeout", http.StatusGatewayTimeout, "The service behind the gateway did not answer in time", "Send the request again with the same Idempotency-Key: whatever became of the first one, there is one order."},
}

var adviceByCode = func() map[string]advice {
	m := make(map[string]advice, len(advices))
	for _, a := range advices {
		m[a.code] = a
	}
	return m
}()

func adviceOf(code string) (advice, bool) {
	a, ok := adviceByCode[code]
	return a, ok
}
