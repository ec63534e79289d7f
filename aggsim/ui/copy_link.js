// navigator.clipboard exists on https and localhost only; plain http on an inner network takes the older way.
export default function ({ parentElement, data }) {
  const button = parentElement.querySelector("button");
  const text = parentElement.querySelector(".text");
  const here = window.location;
  const page = data.base ? data.base.replace(/\/+$/, "") + "/" + data.page : here.origin + here.pathname;
  const link = page + "?" + data.query;
  button.title = data.hint || link;
  text.textContent = data.label;
  parentElement.querySelectorAll("svg").forEach((svg) => { svg.style.display = svg.dataset.icon === data.icon ? "" : "none"; });
  const copyOldWay = () => {
    const area = document.createElement("textarea");
    area.value = link;
    document.body.appendChild(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  };
  button.onclick = async () => {
    let copied = false;
    try { await navigator.clipboard.writeText(link); copied = true; } catch { copied = copyOldWay(); }
    if (copied) { text.textContent = data.done; } else { window.prompt("Copy this link", link); }
    setTimeout(() => { text.textContent = data.label; }, 1600);
  };
}
