package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/system"
)

const healthService = "grpc.health.v1.Health"

// TestPorts asks every port what tools ask first: health, reflection, probes, metrics, and a vote by plain HTTP.
func TestPorts(t *testing.T) {
	s := fixture.Start(t, system.Config{})
	for kind, name := range map[system.Kind]string{
		system.Ticket:    "littlevote.ticket.v1.TicketService",
		system.Vote:      "littlevote.vote.v1.VoteService",
		system.Query:     "littlevote.query.v1.QueryService",
		system.Persister: healthService, // nobody calls it
	} {
		t.Run(string(kind), func(t *testing.T) {
			address := s.Service(kind, 0).Address
			conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			grpcHealth(t, conn, name)
			reflection(t, conn, name)
		})
	}
	for _, kind := range system.Kinds() {
		t.Run("probes of "+string(kind), func(t *testing.T) { probes(t, s.Service(kind, 0)) })
	}
	t.Run("a vote by Connect and JSON", func(t *testing.T) { voteByJSON(t, s) })
}

func grpcHealth(t *testing.T, conn *grpc.ClientConn, name string) {
	t.Helper()
	services := []string{""}
	if name != healthService {
		services = append(services, name)
	}
	for _, service := range services {
		answer, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", service, answer, err)
		}
	}
}

func reflection(t *testing.T, conn *grpc.ClientConn, name string) {
	t.Helper()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(request *grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse {
		if err := stream.Send(request); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	list := ask(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	})
	var names []string
	for _, service := range list.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	if !slices.Contains(names, name) || !slices.Contains(names, healthService) {
		t.Errorf("reflection lists %v, not %s", names, name)
	}
	file := ask(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name},
	})
	if len(file.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("reflection does not describe %s: %v", name, file.GetErrorResponse())
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

func probes(t *testing.T, service *system.Service) {
	t.Helper()
	for _, address := range []string{service.Address, service.Admin} {
		for _, path := range []string{"/livez", "/readyz", "/healthz", "/health"} {
			if code, body := get(t, "http://"+address+path); code != http.StatusOK {
				t.Errorf("%s on %s: %d %s", path, address, code, body)
			}
		}
	}
	if code, body := get(t, "http://"+service.Admin+"/metrics"); code != http.StatusOK || !bytes.Contains(body, []byte("# TYPE ")) {
		t.Errorf("/metrics: %d %.200s", code, body)
	}
	if code, _ := get(t, "http://"+service.Address+"/metrics"); code != http.StatusNotFound {
		t.Errorf("/metrics on the port that strangers reach: %d", code)
	}
}

func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func voteByJSON(t *testing.T, s *system.System) {
	t.Helper()
	url := "http://" + s.Service(system.Vote, 0).Address + "/littlevote.vote.v1.VoteService/CastVotes"
	request := `{"votes": [
		{"newestTicket": true, "choices": [{"candidate": "A", "count": "1"}]},
		{"newestTicket": true, "choices": [{"candidate": "nobody", "count": 1}]}]}`
	resp, err := http.Post(url, "application/json", bytes.NewReader([]byte(request)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Verdicts []struct {
			Code, Outcome, VoteID string
			Totals                []struct{ Candidate, Votes string }
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK || len(answer.Verdicts) != 2 {
		t.Fatalf("%s, %v: %s", resp.Status, err, body)
	}
	counted, refused := answer.Verdicts[0], answer.Verdicts[1]
	if counted.Code != "CODE_OK" || counted.Outcome != "OUTCOME_COUNTED" || len(counted.Totals) != 1 || counted.Totals[0].Votes != "1" {
		t.Errorf("the first vote: %+v", counted)
	}
	if refused.Code != "CODE_INVALID_ARGUMENT" || refused.Outcome != "OUTCOME_NONE" {
		t.Errorf("the second vote: %+v", refused)
	}
	history := &checker.History{}
	history.Add(checker.Attempt{ID: counted.VoteID, Ballot: "main", Names: []string{"A"}, Outcome: checker.Counted})
	s.Verify(t, s.Gateways[0], history)
}
