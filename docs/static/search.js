// Pages of a search in the order of how much of it they have. The theme's own search shows only pages that have
// every word, so that one word too many finds nothing, and cannot be asked for a number such as 429.
const IN_TITLE = 2, IN_PART = 0.25, LEAST = 0.5;
function pagesOf(word, index) {
  const found = new Map();
  const add = (pages, share) => [pages].flat().forEach((page) => found.set(page, Math.max(share, found.get(page) ?? 0)));
  for (const [terms, share] of [[index.terms, 1], [index.titleterms, IN_TITLE]]) {
    if (Object.hasOwn(terms, word)) add(terms[word], share);
  }
  if (!found.size && word.length > 2) {  // a part of longer words
    for (const term of Object.keys(index.terms)) if (term.includes(word)) add(index.terms[term], IN_PART);
  }
  return found;
}
function sizesOf(index) {  // in different words, of a page of middle size 1: a long page has any word
  const counts = new Array(index.docnames.length).fill(0);
  for (const pages of Object.values(index.terms)) for (const page of [pages].flat()) counts[page] += 1;
  const mean = counts.reduce((sum, each) => sum + each, 0) / counts.length;
  return counts.map((count) => count / mean);
}
function ranked(words, excluded) {
  const index = Search._index, scores = new Map(), sizes = sizesOf(index);
  for (const word of words) {
    const pages = pagesOf(word, index);
    const weight = Math.log(1 + index.docnames.length / (pages.size || 1));  // rare words say more
    for (const [page, share] of pages) {
      scores.set(page, (scores.get(page) ?? 0) + weight * share / (0.7 + 0.3 * sizes[page]));
    }
  }
  for (const word of excluded) for (const page of pagesOf(word, index).keys()) scores.delete(page);
  const best = Math.max(...scores.values());
  return [...scores].filter(([, score]) => score >= LEAST * best).map(([page, score]) =>
    [index.docnames[page], index.titles[page], "", null, 10 * score, index.filenames[page], SearchResultKind.text]);
}
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const parse = Search._parseQuery;
  Search._parseQuery = (query) => {
    const parsed = parse(query);
    for (const number of query.match(/(?<!\S)\d+(?!\S)/g) ?? []) parsed[1].add(number);
    return parsed;
  };
  Search.performTermsSearch = ranked;
});
