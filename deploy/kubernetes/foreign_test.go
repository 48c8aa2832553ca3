package kubernetes

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// errUnchecked keeps the manifests from holding kinds that no test looks at.
var errUnchecked = errors.New("no test knows this kind")

// foreignType is the schema of an operator's object that has no Go types here: those of its fields that the examples use, so that a
// field in the wrong place is found. Nil for every other kind.
func foreignType(version, kind string) any {
	switch version + "/" + kind {
	case "postgresql.cnpg.io/v1/Cluster":
		return new(postgresCluster)
	case "kafka.strimzi.io/v1/Kafka":
		return new(strimziKafka)
	case "kafka.strimzi.io/v1/KafkaNodePool":
		return new(strimziPool)
	case "redis.redis.opstreelabs.in/v1beta2/RedisCluster":
		return new(redisCluster)
	default:
		return nil
	}
}

type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
}

// postgresCluster is CloudNativePG's.
type postgresCluster struct {
	object `json:",inline"`
	Spec   struct {
		Instances       int `json:"instances"`
		MinSyncReplicas int `json:"minSyncReplicas"`
		MaxSyncReplicas int `json:"maxSyncReplicas"`
		Bootstrap       struct {
			InitDB struct {
				Database string `json:"database"`
				Owner    string `json:"owner"`
			} `json:"initdb"`
		} `json:"bootstrap"`
		PostgreSQL struct {
			Parameters map[string]string `json:"parameters"`
		} `json:"postgresql"`
		Resources corev1.ResourceRequirements `json:"resources"`
		Storage   struct {
			Size string `json:"size"`
		} `json:"storage"`
		Affinity struct {
			EnablePodAntiAffinity bool   `json:"enablePodAntiAffinity"`
			TopologyKey           string `json:"topologyKey"`
		} `json:"affinity"`
		Monitoring struct {
			EnablePodMonitor bool `json:"enablePodMonitor"`
		} `json:"monitoring"`
	} `json:"spec"`
}

type strimziKafka struct {
	object `json:",inline"`
	Spec   struct {
		Kafka struct {
			Version   string `json:"version"`
			Listeners []struct {
				Name  string                           `json:"name"`
				Port  int                              `json:"port"`
				Type  string                           `json:"type"`
				TLS   bool                             `json:"tls"`
				Peers []networkingv1.NetworkPolicyPeer `json:"networkPolicyPeers"`
			} `json:"listeners"`
			Rack struct {
				TopologyKey string `json:"topologyKey"`
			} `json:"rack"`
			Config map[string]any `json:"config"`
		} `json:"kafka"`
	} `json:"spec"`
}

type strimziPool struct {
	object `json:",inline"`
	Spec   struct {
		Replicas int      `json:"replicas"`
		Roles    []string `json:"roles"`
		Storage  struct {
			Type        string `json:"type"`
			Size        string `json:"size"`
			DeleteClaim bool   `json:"deleteClaim"`
		} `json:"storage"`
		Resources corev1.ResourceRequirements `json:"resources"`
	} `json:"spec"`
}

// redisCluster is of OT-CONTAINER-KIT's operator.
type redisCluster struct {
	object `json:",inline"`
	Spec   struct {
		ClusterSize        int                       `json:"clusterSize"`
		ClusterVersion     string                    `json:"clusterVersion"`
		PersistenceEnabled bool                      `json:"persistenceEnabled"`
		PodSecurityContext corev1.PodSecurityContext `json:"podSecurityContext"`
		KubernetesConfig   struct {
			Image           string                      `json:"image"`
			ImagePullPolicy corev1.PullPolicy           `json:"imagePullPolicy"`
			RedisSecret     corev1.SecretKeySelector    `json:"redisSecret"`
			Resources       corev1.ResourceRequirements `json:"resources"`
		} `json:"kubernetesConfig"`
		RedisLeader   redisRole `json:"redisLeader"`
		RedisFollower redisRole `json:"redisFollower"`
		Storage       struct {
			VolumeClaimTemplate corev1.PersistentVolumeClaimTemplate `json:"volumeClaimTemplate"`
		} `json:"storage"`
	} `json:"spec"`
}

type redisRole struct {
	RedisConfig struct {
		AdditionalRedisConfig string `json:"additionalRedisConfig"`
	} `json:"redisConfig"`
}
