// Follows the bundle of DataTables in one module.
const texts = JSON.parse(document.getElementById("texts").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const followTheme = () => document.documentElement.classList.toggle("dark", dark.matches);
followTheme();
dark.addEventListener("change", followTheme);
for (const table of document.querySelectorAll("table")) {
  const rows = table.tBodies[0].rows.length;
  const isLong = rows > 10;
  new DataTable(table, {
    autoWidth: false,
    columnDefs: [
      { targets: "number", type: "num" },
      { targets: ["id", "name"], type: "string" },
    ],
    info: isLong,
    language: texts,
    layout: {
      topStart: null,
      topEnd: rows > 1 ? "search" : null,
      bottomStart: isLong ? ["info", { pageLength: { menu: [10, 25, 100] } }] : null,
      bottomEnd: isLong ? "paging" : null,
    },
    order: [],
    paging: isLong,
  });
}
