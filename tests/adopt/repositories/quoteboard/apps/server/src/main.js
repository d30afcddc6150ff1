import { createApp } from './app.js';
import { Store } from './store.js';

const file = process.env.QUOTES_FILE ?? 'data/quotes.json';
const first = { id: 1, text: 'Simplicity is prerequisite for reliability.', author: 'Edsger W. Dijkstra' };
const server = createApp(new Store(file, [first]));
server.listen(process.env.PORT ?? 4000, () => console.log('listening on', server.address().port));
process.on('SIGTERM', () => server.close(() => process.exit()));
