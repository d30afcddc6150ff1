// node tools/changelog v1.2.0  -> the commits since that tag, as a list
import { execFileSync } from 'node:child_process'

const since = process.argv[2]
const log = execFileSync('git', ['log', '--format=%s', `${since}..HEAD`], { encoding: 'utf8' })
console.log(log.split('\n').filter(Boolean).map((line) => `- ${line}`).join('\n'))
