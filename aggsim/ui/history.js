// One entry of the browser's history for one thing the user did. Streamlit makes one for the page and one for its
// query, in either order: a step back would stop half way, at a page with another page's query.
if (!window.aggsimHistory) {
  window.aggsimHistory = true
  let isMade = true // what the first visit adds to its address belongs to the entry that is there
  const forget = () => { isMade = false }
  for (const input of ["pointerdown", "keydown", "change"]) window.addEventListener(input, forget, true)
  window.addEventListener("popstate", () => { isMade = true }, true)
  const push = window.history.pushState.bind(window.history)
  window.history.pushState = (...entry) => {
    if (isMade) return window.history.replaceState(...entry)
    isMade = true
    return push(...entry)
  }
}
