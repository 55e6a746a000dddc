package website

import "net/http"

// Forge sends the parent a request on behalf of any connection.
func (s *Site) Forge(id string) (status int, err error) {
	r, err := http.NewRequest(http.MethodGet, "http://gateway/api/who", http.NoBody)
	if err != nil {
		return 0, err
	}
	r.Header.Set(connectionHeader, id)
	resp, err := s.api.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// Cut closes the connection to the parent, as a bug in this process might.
func (s *Site) Cut() error { return s.api.Close() }
