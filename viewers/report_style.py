"""How the report looks and the few lines of script that sort its table."""

STYLE = """
:root { --ink: #1f2933; --soft: #52606d; --line: #e1e6ec; --ground: #f4f6f8; --card: #fff; --accent: #1d5c8f;
  --good: #17714a; --bad: #b91c1c; --wait: #92610a; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header { background: #12324a; color: #fff; padding: 26px 32px 22px; }
header h1 { margin: 0; font-size: 25px; font-weight: 650; letter-spacing: -.01em; overflow-wrap: anywhere; }
header p { margin: 4px 0 0; color: #b9cfe0; overflow-wrap: anywhere; }
main { max-width: 1280px; margin: 0 auto; padding: 22px 32px 48px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 22px;
  margin-top: 18px; }
h2 { font-size: 17px; margin: 0 0 12px; font-weight: 650; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 13px 16px; }
.tile b { display: block; font-size: 24px; font-weight: 650; line-height: 1.2; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
.tile span { color: var(--soft); font-size: 13px; }
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)); gap: 18px; }
figure { margin: 0; }
figure img { width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: 13px; margin-top: 4px; }
figcaption b { color: var(--ink); overflow-wrap: anywhere; }
.gallery { display: grid; gap: 6px; overflow-x: auto; }
.gallery img { width: 100%; min-width: 54px; display: block; border-radius: 5px; background: #000; }
.gallery figcaption { font-size: 11px; margin: 1px 0 0; text-align: center; }
.scroll { overflow: auto; max-height: 640px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 12px; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; }
thead th { position: sticky; top: 0; background: var(--card); font-weight: 600; font-size: 13px; color: var(--soft);
  white-space: nowrap; }
thead th button { all: unset; cursor: pointer; }
thead th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 3px; }
thead th[aria-sort=ascending] button::after { content: " \\2191"; color: var(--accent); }
thead th[aria-sort=descending] button::after { content: " \\2193"; color: var(--accent); }
tbody tr:hover { background: #f2f7fb; }
.state { display: inline-block; border-radius: 99px; padding: 0 9px; font-size: 13px; background: #eef1f4;
  color: var(--soft); }
.state.done { background: #e2f4ea; color: var(--good); }
.state.failed, .state.dead { background: #fde8e8; color: var(--bad); }
.state.waiting, .state.queued, .state.running, .state.cancelled { background: #fdf3dc; color: var(--wait); }
header .state { margin-left: 8px; vertical-align: 4px; }
pre { margin: 0; padding: 14px 16px; background: #f7f9fb; border: 1px solid var(--line); border-radius: 8px;
  overflow-x: auto; font: 13px/1.55 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 5px 20px; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
ul { margin: 10px 0 0; padding-left: 20px; }
.quiet { color: var(--soft); font-size: 13px; margin: 8px 0 0; }
@media print { body { background: #fff; } .scroll { max-height: none; } section { break-inside: avoid; } }
"""

SCRIPT = """
for (const head of document.querySelectorAll("table.sortable thead th")) {
  head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0], at = head.cellIndex;
    const key = (row) => row.cells[at].dataset.value ?? row.cells[at].textContent;
    const numeric = head.classList.contains("number");
    const rows = [...body.rows].sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
      return up ? order : -order;
    });
    body.append(...rows);
  });
}
"""
