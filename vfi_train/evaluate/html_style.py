"""The style sheet of the report, for light and dark, wide and narrow."""

STYLE = """
:root { --ink: #1c2330; --quiet: #5b6575; --paper: #fff; --line: #d8dde6; --band: #f4f6fa; --good: #17733a;
  --bad: #b3261e; --accent: #2a6fdb; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf2; --quiet: #9aa5b8; --paper: #12161d; --line: #2c3442;
  --band: #1a202a; --good: #5fd38a; --bad: #ff8a80; --accent: #7fb0ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.45 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.6rem; margin: .3em 0; } h2 { font-size: 1.25rem; margin: 1.8em 0 .5em; }
h3 { font-size: 1rem; margin: 1.4em 0 .4em; overflow-wrap: anywhere; }
code, pre { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
.quiet { color: var(--quiet); font-size: .9rem; font-weight: normal; }
.better { color: var(--good); } .worse { color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: .85rem; color: var(--quiet); }
th, td { padding: 6px 10px; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:nth-child(odd) { background: var(--band); }
.published { display: block; font-size: .8rem; } .published.plain { color: var(--quiet); }
.notes { color: var(--quiet); font-size: .9rem; overflow-wrap: anywhere; }
.figures { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); }
figure { margin: 0; } figcaption { color: var(--quiet); font-size: .85rem; }
.chart { width: 100%; max-width: 560px; height: auto; } .interval { width: 160px; max-width: 100%; height: 24px; }
.chart text { font-size: 12px; fill: var(--ink); } .area { fill: var(--band); }
.grid { stroke: var(--line); } .equal, .zero { stroke: var(--quiet); stroke-dasharray: 4 3; }
.interval line.interval { stroke: var(--accent); stroke-width: 3; } .point, .mean { fill: var(--accent); }
.point { fill-opacity: .45; }
.tiles { display: grid; gap: 8px; grid-template-columns: repeat(auto-fit, minmax(min(47%, 230px), 1fr)); }
.tiles img { width: 100%; height: auto; display: block; border: 1px solid var(--line); }
details { margin: .6em 0; } summary { cursor: pointer; }
@media (max-width: 760px) {
  main { padding: 12px; }
  thead { display: none; } table, tbody, tr, td { display: block; }
  tr { border: 1px solid var(--line); border-radius: 8px; margin: 8px 0; padding: 4px 0; }
  td { border: 0; padding: 3px 12px; display: flex; justify-content: space-between; gap: 0 12px; text-align: right;
    flex-wrap: wrap; }
  td::before { content: attr(data-title); color: var(--quiet); font-size: .85rem; text-align: left; }
  td.empty { display: none; } .published { flex-basis: 100%; }
}
"""
