package gateway

import "net/http"

const playgroundPath = "/playground"

func mountPlayground(mux *http.ServeMux, endpoint string) {
}
