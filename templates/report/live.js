(() => {
  // A change is sent at once; what comes back takes the place of the page, and a newer change that of an older one.
  let asked;
  const ask = async (form, submitter) => {
    const told = document.getElementById("told");
    if (asked) asked.abort();
    const own = asked = new AbortController();
    document.body.setAttribute("aria-busy", "true");
    told.textContent = "Planning; what is shown is the plan before the change.";
    try {
      const body = new URLSearchParams(new FormData(form, submitter));
      const answer = await fetch(form.action, { method: "POST", body, signal: own.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (own !== asked) return;
      if (!answer.ok) {
        told.textContent = page.querySelector("main").textContent.trim();
        return;
      }
      replace(page);
      history.replaceState(null, "", answer.url);
      await complete(own);
    } catch (error) {
      if (own === asked) told.textContent = "The server does not answer: is `advisor serve` still running?";
    } finally {
      if (own === asked) document.body.removeAttribute("aria-busy");
    }
  };
  // A first answer is shown until the whole plan is there.
  const complete = async (own) => {
    const { whole } = document.getElementById("controls").dataset;
    if (!whole) return;
    document.body.removeAttribute("aria-busy");
    const answer = await fetch(whole, { signal: own.signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (own !== asked) return;
    if (answer.ok) replace(page);
    else document.getElementById("told").textContent = page.querySelector("main").textContent.trim();
  };
  const replace = (page) => {
    const focused = document.activeElement && document.activeElement.id;
    const opened = new Set([...document.querySelectorAll("details")].map((one, at) => (one.open ? at : -1)));
    const script = document.body.querySelector("script");
    document.title = page.title;
    document.body.replaceChildren(...[...page.body.children].filter((part) => part.tagName !== "SCRIPT"), script);
    [...document.querySelectorAll("details")].forEach((one, at) => { one.open = opened.has(at); });
    start();
    listen();
    const again = focused && document.getElementById(focused);
    if (again) again.focus({ preventScroll: true });
  };
  const listen = () => {
    const form = document.getElementById("controls");
    form.addEventListener("submit", (event) => { event.preventDefault(); ask(form, event.submitter); });
    form.addEventListener("change", () => ask(form, null));
  };
  listen();
  asked = new AbortController();
  complete(asked).catch(() => {});
})();
