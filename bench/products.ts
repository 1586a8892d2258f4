const things = [
  "shirt",
  "jacket",
  "lamp",
  "kettle",
  "chair",
  "blanket",
  "teapot",
  "notebook",
  "bicycle bell",
  "garden chair",
  "coffee mug",
  "wool scarf",
];
const looks = ["blue", "red", "green", "striped", "plain", "soft", "heavy", "light", "old", "new", "small", "large", "warm", "quiet"];
const makers = ["Kogge", "Salzhaus", "Bergen", "Nowgorod", "Lübeck", "Stalhof", "Visby", "Danzig"];

/** Products for a benchmark, the same each time: ten thousand have about a hundred different titles' worth of words, as a shop has. */
export function makeProducts(count: number) {
  return Array.from({ length: count }, (_, at) => {
    const thing = things[at % things.length]!;
    const look = looks[(at * 7) % looks.length]!;
    const other = looks[(at * 5 + 3) % looks.length]!;
    const maker = makers[(at * 3) % makers.length]!;
    return {
      categoryNames: [thing],
      product: {
        title: `${maker} ${look} ${thing} ${at}`,
        handle: `bench-${at}`,
        descriptionHtml: `<p>A ${look} and ${other} ${thing} from ${maker}, number ${at}, for every day of the year.</p>`,
        vendor: maker,
        tags: [look, other],
        status: 2,
        options: [],
        variants: [{ sku: `BENCH-${at}`, options: [], price: { currency: "EUR", amount: `${(at % 90) + 9}.99` } }],
      },
    };
  });
}
