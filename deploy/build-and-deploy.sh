#!/usr/bin/env bash
# Builds the image, brings it to a cluster, applies an overlay and waits until everything runs. --help says how.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

usage() {
  cat <<'TEXT'
Usage: deploy/build-and-deploy.sh [options]

  --overlay cast|dev|prod|prod-operators   what is deployed (default cast)
  --clean             remove what the overlay made, volumes included, and end
  --dry-run           say what would be done, and do nothing
  --registry HOST/DIR push the image there; without it the image is loaded into a local cluster
  --tag TAG           tag of the image (default: the commit, and the time if files are changed)
  --no-build          deploy an image that is there already; needs --tag
  --context NAME      context of kubectl (default: the current one)
  --remote            allow a context that is not a cluster on this machine
  --timeout DURATION  how long to wait for each part (default 10m)

Local clusters are those of kind, minikube and Docker Desktop. For any other --remote is needed, and --registry.
TEXT
}

die() {
  printf 'build-and-deploy: %s\n' "$1" >&2
  exit "${2:-1}"
}

overlay=cast clean=no dry=no registry='' tag='' build=yes context='' remote=no timeout=10m
while [ $# -gt 0 ]; do
  case $1 in
    --overlay | --registry | --tag | --context | --timeout)
      [ $# -ge 2 ] || die "$1 needs a value; see --help" 2
      case $1 in
        --overlay) overlay=$2 ;;
        --registry) registry=${2%/} ;;
        --tag) tag=$2 ;;
        --context) context=$2 ;;
        --timeout) timeout=$2 ;;
      esac
      shift
      ;;
    --clean) clean=yes ;;
    --dry-run) dry=yes ;;
    --no-build) build=no ;;
    --remote) remote=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) die "unknown option $1; see --help" 2 ;;
  esac
  shift
done

case $overlay in
  cast) namespace=cast ;;
  dev | prod | prod-operators) namespace=littlevote ;;
  *) die "there is no overlay $overlay; see --help" 2 ;;
esac
[ "$build" = yes ] || [ -n "$tag" ] || die "--no-build needs --tag" 2

need() { command -v "$1" >/dev/null || die "$1 is missing: $2"; }

# run does something, or says it.
run() {
  if [ "$dry" = yes ]; then
    printf '+ %s\n' "$*"
  else
    "$@"
  fi
}

kube() { kubectl --context "$context" "$@"; }

need kubectl "install it, see https://kubernetes.io/docs/tasks/tools/"
[ -n "$context" ] || context=$(kubectl config current-context 2>/dev/null) || die "kubectl has no current context: name one with --context"
case $context in
  kind-*) cluster=kind ;;
  minikube) cluster=minikube ;;
  docker-desktop) cluster=docker-desktop ;;
  *) cluster=remote ;;
esac
[ "$cluster" != remote ] || [ "$remote" = yes ] || die "the context $context is not known to be on this machine: say --remote if you mean it"

if [ "$clean" = yes ]; then
  # The claims were made by StatefulSets, so no manifest names them; they go with the namespace, which the overlay holds.
  run kube delete --ignore-not-found --wait --kustomize "$here/kubernetes/overlays/$overlay"
  exit 0
fi

[ "$cluster" != remote ] || [ -n "$registry" ] || [ "$build" = no ] || die "$context can't be given an image directly: name a --registry"
if [ -z "$tag" ]; then
  tag=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null) || tag=unversioned
  [ -z "$(git -C "$root" status --porcelain 2>/dev/null)" ] || tag="$tag-$(date -u +%Y%m%d%H%M%S)"
fi
name=${registry:+$registry/}littlevote
image=$name:$tag

if [ "$build" = yes ]; then
  need docker "it builds the image; or say --no-build --tag for one that is there"
  [ "$dry" = yes ] || docker info >/dev/null 2>&1 || die "docker does not answer: is it running, and may you use it?"
  arguments=(--file "$here/Dockerfile" --tag "$image" --build-arg "VERSION=0.1.0-dev+$tag"
    --build-arg "REVISION=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)")
  # From where modules come, if this machine says so.
  for variable in GOPROXY GOSUMDB; do
    [ -z "${!variable:-}" ] || arguments+=(--build-arg "$variable")
  done
  if [ -n "$registry" ]; then
    # What the image is made of, and how, is pushed beside it.
    run docker buildx build "${arguments[@]}" --sbom=true --provenance=mode=max --push "$root"
  else
    run docker buildx build "${arguments[@]}" --load "$root" # attestations can't be loaded; the image lists its modules itself
    case $cluster in
      kind)
        need kind "the context $context is one of its clusters"
        run kind load docker-image "$image" --name "${context#kind-}"
        ;;
      minikube)
        need minikube "the context is its cluster"
        run minikube image load "$image"
        ;;
    esac
  fi
fi

# A kustomization of its own says which image it is, so that none of the files here changes.
made=$(mktemp -d "$here/kubernetes/overlays/.deploy.XXXXXX")
trap 'rm -rf "$made"' EXIT
cat >"$made/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../$overlay]
images:
  - {name: littlevote, newName: $name, newTag: "$tag"}
  - {name: ghcr.io/littlevote/littlevote, newName: $name, newTag: "$tag"}
YAML
manifests=$(kubectl kustomize "$made")

run kube delete job migrate --namespace "$namespace" --ignore-not-found # a Job can't be changed
if [ "$dry" = yes ]; then
  printf '+ kubectl apply, with image %s:\n%s\n' "$image" "$manifests"
  exit 0
fi
kube apply --filename - <<<"$manifests"

for part in $(kube get deployments,statefulsets --namespace "$namespace" --output name); do
  kube rollout status "$part" --namespace "$namespace" --timeout "$timeout" ||
    die "$part did not come up; kubectl --context $context -n $namespace describe $part, and logs $part"
done
kube wait job/migrate --namespace "$namespace" --for condition=Complete --timeout "$timeout" ||
  die "the migration did not end; kubectl --context $context -n $namespace logs job/migrate"

case $overlay in
  cast | dev)
    path=/graphql
    [ "$overlay" = cast ] || path=/
    node=$(kube get nodes --output 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
    [ "$cluster" != docker-desktop ] || node=localhost
    printf '\nLittle Vote is at http://%s:30000%s\n' "${node:-NODE}" "$path"
    # Nodes of kind on macOS and Windows can't be reached from outside the virtual machine.
    service=main-service
    [ "$overlay" = cast ] || service=gateway
    printf 'or, where nodes can not be reached: kubectl --context %s -n %s port-forward service/%s 30000:80\n' "$context" "$namespace" "$service"
    ;;
  *)
    kube get ingress --namespace "$namespace"
    ;;
esac
