// Package hub downloads models from the Hugging Face hub, into the cache that its Python client uses or into a plain
// folder.
//
//	result, err := hub.Download(ctx, hub.Request{Repo: "Qwen/Qwen3-TTS-12Hz-1.7B-Base"}, nil)
//	...
//	model, err := talker.Load(result.Dir, talker.Options{})
//
// A revision (a branch, a tag or a commit) is resolved to its commit once; everything after that names the commit, so
// a push in between cannot mix two versions. The cache is laid out as
//
//	$HF_HOME/hub/models--ORG--NAME/blobs/ID                   content: SHA-256 of large files, git's SHA-1 of others
//	                               blobs/ID.incomplete        an interrupted transfer
//	                               snapshots/COMMIT/FILE      -> ../../blobs/ID
//	                               trees/COMMIT.json          names, sizes and ids of the commit's files
//	                               refs/REVISION              the commit, written last
//	             .locks/models--ORG--NAME/ID.lock
//
// What can be relied on:
//
//   - A file appears under its final name only when its size and its checksum are those that the hub lists. Until then
//     it is ID.incomplete; a wrong one is deleted and fetched anew.
//   - A dropped, stalled or refused connection (5xx, 429) is tried again with growing pauses, from where it broke off;
//     so does the next run after Ctrl-C. Only tries in a row that bring nothing new count as failures.
//   - The token goes to the endpoint only, never to the host that it redirects to.
//   - Names from the hub are checked before they become paths.
//   - Two processes do not fetch the same file at once: the second waits, also for the Python client.
//
// Environment: HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_DISABLE_IMPLICIT_TOKEN and
// HF_HUB_OFFLINE mean what they mean to the Python client. The package needs no libtorch.
package hub
