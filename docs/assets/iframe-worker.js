// The theme's search runs in a Worker, which browsers refuse to pages that are opened from disk: there, in an iframe.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const scope = this.frame.contentWindow
      scope.document.open()
      scope.document.write("<!doctype html><body></body>")
      scope.document.close()
      const load = url => new Promise((done, failed) => {
        const script = scope.document.createElement("script")
        Object.assign(script, { src: url, onload: done, onerror: failed })
        scope.document.body.append(script)
      })
      scope.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      scope.importScripts = (...urls) => urls.reduce((before, url) => before.then(() => load(url)), Promise.resolve())
      this.loaded = load(url)
    }
    postMessage(data) {
      const scope = this.frame.contentWindow
      this.loaded.then(() => scope.dispatchEvent(new scope.MessageEvent("message", { data })))
    }
    terminate() {
      this.frame.remove()
    }
  }
  window.Worker = window.IFrameWorker
}
