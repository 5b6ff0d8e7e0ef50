"""A server on 127.0.0.1 that speaks the hub's protocol, as `huggingface_hub` uses it.

    GET  /api/models/OWNER/NAME[/revision/REVISION]?blobs=True   the commit and its files
    GET  /api/models/OWNER/NAME/tree/REVISION                    the files, for a whole snapshot
    HEAD, GET /OWNER/NAME/resolve/REVISION/FILE                  a file, or where it lies

Large files lie elsewhere, on a CDN:

    GET  /SHA256?sig=...
"""

import dataclasses
import hashlib
import json
import urllib.parse

from weights_server import Fault, Handler, WeightsServer

LARGE = (".safetensors", ".bin", ".pth", ".pt", ".h5", ".keras", ".npz")


def commit_of(files: dict[str, bytes]) -> str:
    """The name of a commit: that of its files."""
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


@dataclasses.dataclass
class Repository:
    """What is in one.

    Args:
        files: of its branch "main".
        gated: whether the files are for those who were let in.
        private: whether only those who have the token see it.
    """

    files: dict[str, bytes]
    gated: bool = False
    private: bool = False

    def __post_init__(self):
        self.commits = {}
        self.refs = {}
        self.push(self.files)

    def push(self, files: dict[str, bytes], branch: str = "main") -> str:
        """A new commit, and its name."""
        commit = commit_of(files)
        self.commits[commit] = dict(files)
        self.refs[branch] = commit
        return commit

    def commit(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision)


class Cdn(WeightsServer):
    """Where large files lie.

    Attributes:
        hub: the server whose files they are.
        tokens: what each request came with.
    """

    def __init__(self, content, handler):
        super().__init__(content, handler)
        self.hub: HubServer
        self.tokens: list[str | None] = []


class CdnHandler(Handler):
    server: Cdn

    def do_GET(self):
        hub, sha256 = self.server.hub, self.path[1:65]
        hub.asked.append((self.command, self.path, self.headers.get("Range")))
        self.server.tokens.append(self.headers.get("Authorization"))
        for repository in hub.repositories.values():
            for files in repository.commits.values():
                for content in files.values():
                    if hashlib.sha256(content).hexdigest() == sha256:
                        self.answer(hub.wrong.get(content, content), hub.fault("GET"))
                        return
        self.send_error(404)


class HubServer(WeightsServer):
    """A hub; use as a context manager.

    Attributes:
        repositories: by "OWNER/NAME".
        token: that lets in.
        metadata: whether the list of files has sizes and hashes, as mirrors may not.
        wrong: for a file's content, what is sent instead.
        asked: (method, path, Range) of each request, those to the CDN among them.
        cdn: where large files lie; its `requests` are those to it.
        upset: by "api", "HEAD" or "GET" what goes wrong in the next answers to them.
    """

    def __init__(self, **repositories: Repository):
        super().__init__(b"", HubHandler)
        self.repositories = dict(repositories)
        self.token = "hf_SeCrEt"
        self.metadata = True
        self.wrong: dict[bytes, bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.upset: dict[str, list[Fault]] = {}
        self.cdn = Cdn(b"", CdnHandler)
        self.cdn.hub = self

    def __enter__(self):
        self.cdn.__enter__()
        return super().__enter__()

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.cdn.__exit__(*exception)

    def fault(self, kind: str) -> Fault:
        faults = self.upset.get(kind)
        return faults.pop(0) if faults else Fault()

    def count(self, method: str, part: str) -> int:
        """How many requests there were to paths with a part."""
        return sum(method == m and part in path for m, path, _ in self.asked)


class HubHandler(Handler):
    server: HubServer

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server = self.server
        path = urllib.parse.urlsplit(self.path).path
        words = [urllib.parse.unquote(word) for word in path.strip("/").split("/")]
        is_list = words[:2] == ["api", "models"]
        if not is_list and words[2:3] != ["resolve"]:  # what the client asks for once a day
            self.send_error(404)
            return
        server.asked.append((self.command, self.path, self.headers.get("Range")))
        if is_list:
            fault = server.fault("api")
            if fault.status or fault.cut is not None:
                self.answer(b"{}" * 9, fault)
            else:
                self._list("/".join(words[2:4]), (words[5:6] or ["main"])[0], "tree" in words[4:5])
        else:
            self._file("/".join(words[:2]), words[3], "/".join(words[4:]))

    def _repository(self, name: str, revision: str, files: bool) -> tuple[Repository, str] | None:
        """A repository and the commit of a revision; None where an error was sent."""
        found, said = self.server.repositories.get(name), self.headers.get("Authorization") or ""
        let_in = said == f"Bearer {self.server.token}"
        if said.startswith("Bearer") and not let_in:
            self._error(401, None, "Invalid credentials in Authorization header")
        elif found is None or (found.private and not let_in):
            # The hub does not tell strangers what there is.
            self._error(404 if let_in else 401, "RepoNotFound", "Repository not found")
        elif found.gated and files and not let_in:
            self._error(401, "GatedRepo", f"Access to model {name} is restricted.")
        elif found.commit(revision) is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return found, found.commit(revision)
        return None

    def _error(self, status: int, code: str | None, message: str) -> None:
        self.send_response(status)
        if code is not None:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _list(self, name: str, revision: str, tree: bool) -> None:
        found = self._repository(name, revision, files=False)
        if found is None:
            return
        repository, commit = found
        siblings: list[dict] = []
        for file, content in repository.commits[commit].items():
            one = {"rfilename": file}
            if self.server.metadata:
                git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
                one |= {"size": len(content), "blobId": git}
                if file.endswith(LARGE):
                    sha256 = hashlib.sha256(content).hexdigest()
                    one["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
            siblings.append(one)
        listed: list | dict = {"id": name, "modelId": name, "sha": commit, "siblings": siblings}
        if tree:
            names = {"rfilename": "path", "blobId": "oid", "size": "size"}
            listed = [
                {"type": "file"} | {new: one[old] for old, new in names.items()} for one in siblings
            ]
        body = json.dumps(listed)
        self.answer(body.encode(), Fault(), Content_Type="application/json")

    def _file(self, name: str, revision: str, file: str) -> None:
        found = self._repository(name, revision, files=True)
        if found is None:
            return
        repository, commit = found
        content = repository.commits[commit].get(file)
        if content is None:
            self._error(404, "EntryNotFound", "Entry not found")
            return
        fault = self.server.fault(self.command)
        told = {"X_Repo_Commit": commit}
        if not file.endswith(LARGE):
            git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            self.answer(self.server.wrong.get(content, content), fault, ETag=f'"{git}"', **told)
            return
        if fault.status:
            self.answer(content, fault)
            return
        sha256 = hashlib.sha256(content).hexdigest()
        self.send_response(302)
        self.send_header("Location", f"{self.server.cdn.url}/{sha256}?sig=s1gn3d")
        for key, value in (
            ("X-Repo-Commit", commit),
            ("X-Linked-Etag", f'"{sha256}"'),
            ("X-Linked-Size", str(len(content))),
            ("Content-Length", "0"),
        ):
            self.send_header(key, value)
        self.end_headers()
